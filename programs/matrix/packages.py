"""uv, told where packages come from: the index that pip is configured for, which uv doesn't read by itself.

Nothing here names an index. pip's further locations (``extra-index-url``, ``find-links``) are left out: files there
have no upload time, and the matrix chooses by time.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from uv import find_uv_bin

__all__ = ["NoInterpreterError", "NotResolvedError", "UnreachableError", "find_python", "uv", "uv_environment"]

_FROM_PIP = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
_UNREACHABLE = ("Failed to fetch", "error sending request", "Could not connect", "dns error", "timed out")


class NotResolvedError(Exception):
    """uv has found no set of packages; its text says why."""


class UnreachableError(Exception):
    """The package index could not be asked."""


class NoInterpreterError(Exception):
    """There is no such Python on this machine."""


def uv(*arguments: str | Path, quiet: bool = True) -> str:
    """Run uv; its output.

    :raises UnreachableError: the package index didn't answer
    :raises NotResolvedError: anything else that went wrong
    """
    command = [find_uv_bin(), *(["--quiet"] if quiet else []), *map(str, arguments)]
    done = subprocess.run(command, env=uv_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        kind = UnreachableError if any(words in done.stderr for words in _UNREACHABLE) else NotResolvedError
        raise kind(done.stderr.strip())
    return done.stdout


def find_python(version: str) -> str:
    """The interpreter of that version: this one, or what uv finds on the PATH and where managers put them.

    :raises NoInterpreterError: when there is none
    """
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    try:
        return uv("python", "find", "--no-project", version, quiet=False).strip()
    except NotResolvedError as error:
        raise NoInterpreterError(f"no Python {version} on this machine") from error


def uv_environment() -> Mapping[str, str]:
    """The environment that uv is run in. What is set there for uv itself wins over what pip is configured for."""
    env = dict(os.environ) | {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "UV_NO_CONFIG": "1"}
    env.pop("VIRTUAL_ENV", None)
    if "UV_INDEX_URL" in env:
        env.setdefault("UV_DEFAULT_INDEX", env["UV_INDEX_URL"])
    for name, value in _pip_settings().items():
        env.setdefault(name, value)
    if versions := _pyenv_versions():
        env["PYENV_VERSION"] = versions
    return env


def _pip_settings() -> dict[str, str]:
    """What pip's configuration says, the environment's word before the user's and the machine's."""
    lines = [line.partition("=") for line in _output([sys.executable, "-m", "pip", "config", "list"]).splitlines()]
    configured = {name: ast.literal_eval(value) for name, found, value in lines if found}
    settings = {}
    for option, variable in _FROM_PIP.items():
        for scope in ("global", "install", ":env:"):
            if value := configured.get(f"{scope}.{option}"):
                settings[variable] = str(value)
    return settings


def _pyenv_versions() -> str:
    """All of pyenv's Pythons, newest first: its commands on the PATH work for the versions in $PYENV_VERSION alone."""
    if shutil.which("pyenv") is None:
        return ""
    return ":".join(reversed(_output(["pyenv", "versions", "--bare"]).split()))


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
