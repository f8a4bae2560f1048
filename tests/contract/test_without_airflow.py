"""The engine and the function of AWS Lambda work where there is no Airflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from programs.lambda_zip.__main__ import rooms

ROOT = Path(__file__).parents[2]
# A process in which airflow can't be imported, as where it isn't installed.
SCRIPT = """
import importlib, sys

class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "airflow":
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, NoAirflow())
for name in sys.argv[1:]:
    importlib.import_module(name)
assert not [name for name in sys.modules if name.partition(".")[0] == "airflow"]
from cloudindex_provider.aws_lambda import handler
print(len(sys.argv) - 1, "modules,", handler.__module__)
"""


def test_everything_below_the_hooks_is_imported_without_airflow() -> None:
    package = ROOT / "cloudindex_provider"
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for room in rooms()
        for path in sorted([*(package / room).rglob("*.py"), *package.glob(f"{room}.py")])
    ]
    assert len(modules) > 100
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *modules], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "cloudindex_provider.aws_lambda" in done.stdout
