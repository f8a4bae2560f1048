"""Builds the zip of the AWS Lambda function ``cloudindex_provider.aws_lambda.handler``: no Airflow, no boto3.

The libraries are those of pyproject.toml and constraints.txt, as wheels for Lambda's Linux; boto3 is in Lambda's
runtime. The same sources give the same bytes. Where the Python is this one, its bytecode goes in as well: Lambda can't
write it, and a cold start would compile everything anew.

    python -m programs.lambda_zip --python 3.11 --arch x86_64 --out dist
"""

from __future__ import annotations

import argparse
import compileall
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

__all__ = ["Zip", "build", "requirements", "rooms"]

ROOT = Path(__file__).parents[2]
DRIVER = "psycopg2-binary"  # of the state
ARCHITECTURES = {"x86_64": "x86_64", "arm64": "aarch64"}  # Lambda's word -> that of wheels
_GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")  # Amazon Linux 2023 has 2.34
_THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
_WHEN = (1980, 1, 1, 0, 0, 0)
_LIMIT = 250 << 20  # bytes unpacked: Lambda's own bound


class Zip:
    """A built file, with its sizes in bytes."""

    def __init__(self, path: Path, unpacked: int) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.unpacked = unpacked


def rooms() -> list[str]:
    """What the function needs of the package: itself, and the layers below it but for the embedded server."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [one["layers"] for one in contracts if one["name"] == "the layers of the package"]
    names = [[name.strip() for name in layer.split("|")] for layer in layers]
    (at,) = [number for number, layer in enumerate(names) if "aws_lambda" in layer]
    return ["aws_lambda", *(name for layer in names[at + 1 :] for name in layer if name != "local")]


def requirements() -> list[str]:
    """The package's own, without Airflow and its providers, and the driver of the state."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [one for one in project["dependencies"] if not one.startswith("apache-airflow")] + [DRIVER]


def build(out: Path, *, python: str = _THIS, arch: str = "x86_64") -> Zip:
    """The zip in the folder ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"cloudindex-lambda-py{python.replace('.', '')}-{arch}.zip"
    with tempfile.TemporaryDirectory(prefix="cloudindex-lambda-") as name:
        folder = Path(name)
        _install(folder, python, ARCHITECTURES[arch])
        _copy_package(folder / "cloudindex_provider")
        if python == _THIS:
            _compile(folder)
        return Zip(path, _pack(folder, path))


def _install(folder: Path, python: str, machine: str) -> None:
    """The wheels of that Python and machine, unpacked; a source distribution is never built here."""
    platforms = [part for glibc in _GLIBC for part in ("--platform", f"{glibc}_{machine}")]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(folder), *platforms,
        "--only-binary=:all:", "--implementation", "cp", "--python-version", python,
        "--constraint", str(ROOT / "constraints.txt"), *requirements(),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for record in folder.glob("*.dist-info/RECORD"):  # names what was taken out; licences stay
        record.unlink()


def _copy_package(target: Path) -> None:
    target.mkdir()
    source = ROOT / "cloudindex_provider"
    shutil.copy(source / "__init__.py", target)
    for room in rooms():
        if (source / room).is_dir():
            shutil.copytree(source / room, target / room, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source / f"{room}.py", target)


def _compile(folder: Path) -> None:
    """Bytecode that no date invalidates."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=1, stripdir=str(folder), invalidation_mode=mode, workers=1):
        raise SystemExit("Something of the zip can't be compiled.")


def _pack(folder: Path, path: Path) -> int:
    """The same bytes for the same files; gives how many bytes there are unpacked."""
    unpacked = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), _WHEN)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            content = file.read_bytes()
            unpacked += len(content)
            archive.writestr(entry, content)
    if unpacked > _LIMIT:
        raise SystemExit(f"{unpacked:,} bytes unpacked are more than Lambda takes.")
    return unpacked


def main() -> int:
    """Run by ``make lambda``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=_THIS, help="of the function's runtime, such as 3.12")
    parser.add_argument("--arch", default="x86_64", choices=sorted(ARCHITECTURES))
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    if not re.fullmatch(r"3\.\d+", options.python):
        parser.error(f"--python is {options.python!r}; write it like 3.12")
    made = build(options.out, python=options.python, arch=options.arch)
    print(f"{made.path}: {made.size / 1e6:.1f} MB, {made.unpacked / 1e6:.1f} MB unpacked")
    if options.python != _THIS:
        print(f"Without bytecode: this is Python {_THIS}, and a cold start compiles what it imports.")
    print("Runtime handler: cloudindex_provider.aws_lambda.handler")
    return 0


if __name__ == "__main__":
    sys.exit(main())
