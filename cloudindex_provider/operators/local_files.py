"""Files of the worker's disk as parts of an upload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import ConfigurationError

__all__ = ["file_parts"]

_CHUNK = 256 * 1024  # bytes


def file_parts(files: object, file_names: Sequence[str] | None) -> list[FilePart]:
    paths = [files] if isinstance(files, str) else files
    if not isinstance(paths, list | tuple) or not all(isinstance(path, str) and path for path in paths):
        raise ConfigurationError(f"files is {files!r}.", hint="Give one path, or a list of paths.")
    names = [Path(path).name for path in paths] if file_names is None else list(file_names)
    if len(names) != len(paths):
        message = f"{len(paths)} files, but {len(names)} file_names."
        raise ConfigurationError(message, hint="Give one name for each file, or none at all.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        # The service tells the files of a request apart by nothing but their names.
        raise ConfigurationError(f"several files would be named {twice[0]!r}.", hint="Tell them apart with file_names.")
    return [_file_part(Path(path), name) for path, name in zip(paths, names, strict=True)]


def _file_part(path: Path, name: str) -> FilePart:
    size = path.stat().st_size
    return FilePart(file_name=name, size=size, open=partial(_read, path, size))


def _read(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise OSError(f"{path} became shorter while it was read")
            left -= len(chunk)
            yield chunk
