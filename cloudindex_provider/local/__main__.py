"""The embedded server as a process: ``python -m cloudindex_provider.local --port 8900 --data DIR``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from cloudindex_provider.local.control import apply_settings
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.local.settings import DEFAULT_API_KEY, DEFAULT_PROJECT, Settings

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = _settings(options)
    except ValueError as exc:
        parser.error(str(exc))
    try:
        server = LocalCloudIndex(
            options.data, settings=settings, host=options.host, port=options.port, control=options.faults
        )
    except (OSError, RuntimeError) as exc:
        print(f"Can't start: {exc}", file=sys.stderr)
        return 1
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with server:
        print(f"CloudIndex (local) is ready at {server.url}", flush=True)
        stopped.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cloudindex_provider.local", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of the documents; made if missing")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free port")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--api-key", action="append", metavar="KEY", help=f"repeatable (default: {DEFAULT_API_KEY})")
    parser.add_argument("--project", action="append", metavar="UUID", help=f"repeatable (default: {DEFAULT_PROJECT})")
    parser.add_argument("--faults", action="store_true", help="offer the endpoints below /_local, without a key")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any field of Settings, its value in JSON or as a plain word, e.g. --set processing_delay=2",
    )
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    settings = Settings()
    if options.api_key:
        settings.api_keys = dict.fromkeys(options.api_key)
    if options.project:
        settings.projects = options.project
    changes: dict[str, Any] = {}
    for assignment in options.set:
        name, found, value = assignment.partition("=")
        if not found:
            raise ValueError(f"--set {assignment}: expected NAME=VALUE")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
    apply_settings(settings, changes)
    return settings


if __name__ == "__main__":
    sys.exit(main())
