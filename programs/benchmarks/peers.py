"""The programs that we are compared with, each in an environment of its own; what can't be had is told as missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from programs.benchmarks.jobs import BUCKET
from programs.benchmarks.measure import command, job
from programs.benchmarks.servers import ROOT

__all__ = ["AWS_ENVIRONMENT", "Peers"]

Run = Callable[[], dict[str, Any]]
AWS_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us-east-1"}
OTHER_BUCKET = "other"  # the fake gives every bucket the same keys
_RCLONE_BEST = ("--fast-list", "--checkers", "64", "--config", "/dev/null")


class Peers:
    """Installs the peers at first need, below ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.missing: list[str] = []
        self.versions: dict[str, str] = {}

    def rclone(self) -> str | None:
        """rclone, from the system or its package."""
        found = shutil.which("rclone")
        if found is None and shutil.which("apt-get"):
            subprocess.run(["apt-get", "install", "--yes", "--quiet", "rclone"], check=False, capture_output=True)
            found = shutil.which("rclone")
        return self._known("rclone", found, "version")

    def aws(self) -> str | None:
        return self._known("aws", self._from_pypi("awscli", "aws"), "--version")

    def obstore(self) -> str | None:
        """A Python that has obstore."""
        return self._known("obstore", self._from_pypi("obstore", "python"), "--version")

    def _from_pypi(self, package: str, program: str) -> str | None:
        where = self.home / package
        if not (where / ".done").exists():
            subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
            done = subprocess.run(
                [str(where / "bin" / "pip"), "install", "--quiet", package], check=False, capture_output=True
            )
            if done.returncode:
                return None
            (where / ".done").touch()
        return str(where / "bin" / program)

    def _known(self, name: str, path: str | None, version: str) -> str | None:
        if path is None:
            self.missing.append(name)
            return None
        said = subprocess.run([path, version], check=False, capture_output=True, text=True)
        self.versions[name] = (said.stdout or said.stderr).split("\n")[0].strip()
        return path

    def listing(self, url: str) -> dict[str, Run]:
        """The jobs that only list the bucket."""
        rclone = self.rclone()
        if rclone is None:
            return {}
        remote = _rclone_remote(url)
        return {
            "rclone size": lambda: command(rclone, "size", f"{remote}{BUCKET}", *_RCLONE_BEST),
        }

    def no_op(self, url: str, state: Path) -> dict[str, Run]:
        """The jobs that list the bucket, or compare it."""
        jobs = self.listing(url)
        if rclone := self.rclone():
            remote = _rclone_remote(url)
            jobs["rclone lsf -R"] = lambda: command(rclone, "lsf", "-R", f"{remote}{BUCKET}", *_RCLONE_BEST)
            jobs["rclone sync --size-only"] = lambda: command(
                rclone, "sync", f"{remote}{BUCKET}", f"{remote}{OTHER_BUCKET}", "--size-only", *_RCLONE_BEST
            )
        if aws := self.aws():
            jobs["aws s3 sync --dryrun"] = lambda: command(
                aws, "s3", "sync", f"s3://{BUCKET}", f"s3://{OTHER_BUCKET}", "--dryrun", "--endpoint-url", url,
                environment=AWS_ENVIRONMENT,
            )  # fmt: skip
        if python := self.obstore():
            program = str(ROOT / "tests" / "benchmarks" / "jobs.py")
            jobs["obstore list"] = lambda: command(python, program, "obstore_list", f'{{"url": "{url}"}}')
        jobs["S3Hook.get_file_metadata and a dict"] = lambda: job("hook_dict", url=url, state=str(state))
        return jobs


def _rclone_remote(url: str) -> str:
    return f":s3,provider=Other,endpoint='{url}',access_key_id=x,secret_access_key=y,list_version=2:"
