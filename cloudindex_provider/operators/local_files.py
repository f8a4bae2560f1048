"""Files of the worker's disk as parts of an upload. Nothing is sent before every one of them was looked at."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cloudindex_provider.api.file_names import is_dropped, server_names
from cloudindex_provider.api.models import FileError, FilePart
from cloudindex_provider.errors import ConfigurationError
from cloudindex_provider.hooks.cloudindex import CloudIndexSettings
from cloudindex_provider.hooks.rendered import texts
from cloudindex_provider.sync.arguments import is_unset

__all__ = ["LocalFile", "local_files", "unsendable"]

_CHUNK = 256 * 1024  # bytes
_SHOWN = 5  # problems that a message names


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to upload: where it is, and the part of a request that it makes."""

    path: str
    part: FilePart

    @property
    def name(self) -> str:
        return self.part.file_name

    @property
    def size(self) -> int:
        return self.part.size


def local_files(files: object, file_names: object) -> list[LocalFile]:
    """The files of an operator's arguments, each looked at.

    :raises ConfigurationError: one can't be read, or names don't fit
    """
    paths = texts("files", files)
    names = [Path(path).name for path in paths] if is_unset(file_names) else texts("file_names", file_names)
    if len(names) != len(paths):
        message = f"{len(paths)} files, but {len(names)} file_names."
        raise ConfigurationError(message, hint="Give one name for each file, or none at all.")
    problems = [problem for path in paths if (problem := _problem(path))]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        message = f"files can't be read on {socket.gethostname()}: {'; '.join(problems[:_SHOWN])}{more}. None was sent."
        raise ConfigurationError(message, hint="Another try would find the same: mend the paths, or leave them out.")
    _check_names(names)
    return [
        LocalFile(path, FilePart(name, size, partial(_read, path)))
        for path, name in zip(paths, names, strict=True)
        for size in [Path(path).stat().st_size]
    ]


def unsendable(files: Sequence[LocalFile], settings: CloudIndexSettings) -> list[FileError]:
    """Files that aren't sent, as errors of theirs: those above the connection's limit, and empty ones."""
    limit = min(settings.max_file_size, settings.max_request_size)
    too_large = "{} bytes are more than the connection's limit of {}"
    empty = "it is empty, so nothing of it could be found"
    return [
        FileError(one.name, too_large.format(one.size, limit) if one.size else empty, retryable=False)
        for one in files
        if one.size > limit or not one.size
    ]


def _problem(path: str) -> str | None:
    """Why a path is none of a file that can be read; ``None``: it is one."""
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            return f"{path!r} is a folder (name the files in it)"
        if not stat.S_ISREG(mode):
            return f"{path!r} is no regular file"
        with Path(path).open("rb"):
            return None
    except FileNotFoundError:
        return f"{path!r} doesn't exist"
    except (OSError, ValueError) as error:  # ValueError: a null character
        return f"{path!r}: {error.strerror if isinstance(error, OSError) else error}"


def _check_names(names: Sequence[str]) -> None:
    dropped = [name for name in names if is_dropped(name)]
    if dropped:
        message = f"CloudIndex drops a file named {dropped[0]!r} without a word."
        raise ConfigurationError(message, hint="Name it with file_names.")
    taken: dict[str, str] = {}
    for name in names:
        # The service tells the files of a request apart by nothing but their names, as it makes them.
        other = next((taken[made] for made in server_names(name) if made in taken), None)
        if other is not None:
            clash = f"several files would be named {name!r}"
            raise ConfigurationError(
                f"{clash}." if other == name else f"{clash}, as {other!r} is, in CloudIndex.",
                hint="Tell them apart with file_names.",
            )
        taken.update(dict.fromkeys(server_names(name), name))


def _read(path: str) -> Iterator[bytes]:
    # A file that has changed its size meanwhile is found by whoever counts what comes: the request is withdrawn then.
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
