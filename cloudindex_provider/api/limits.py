"""The bounds of one upload request, and the check that a request is inside them before a byte is sent.

The API's document says "20 files, 20MB" and its guides say other sizes by plan, so sizes are settings whose defaults
are the strictest reading (decimal megabytes). The count is fixed. Owns nothing else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import ConfigurationError

__all__ = [
    "DEFAULT_MAX_FILE_SIZE",
    "DEFAULT_MAX_REQUEST_SIZE",
    "MAX_FILES_PER_REQUEST",
    "check_files",
    "fit_request",
    "request_estimate",
]

MAX_FILES_PER_REQUEST = 20  # documents.yaml: "Maximum 20 files per request"
DEFAULT_MAX_FILE_SIZE = 20_000_000  # bytes; "20MB", and one Express middleware refuses exactly 20 MiB
DEFAULT_MAX_REQUEST_SIZE = DEFAULT_MAX_FILE_SIZE  # bytes of files in one request: "20 files, 20MB"


def check_files(
    files: Sequence[FilePart],
    *,
    max_files: int = MAX_FILES_PER_REQUEST,
    max_file_size: int | None = None,
    max_request_size: int | None = None,
) -> None:
    """Nothing, or a ``ConfigurationError`` naming what doesn't fit; ``None`` leaves a size unchecked.

    File names must differ: an answer names a file by nothing else.
    """
    if not 1 <= len(files) <= max_files:
        raise ConfigurationError(f"A request of {len(files)} files; it takes 1 to {max_files}.")
    name, times = Counter(part.file_name for part in files).most_common(1)[0]
    if times > 1:
        raise ConfigurationError(
            f"Two files of one request are named {name!r}, so its answer couldn't tell them apart."
        )
    for part in files:
        if part.size < 0:
            raise ConfigurationError(f"{part.file_name!r} has the size {part.size}.")
        if max_file_size is not None and part.size > max_file_size:
            raise ConfigurationError(
                f"{part.file_name!r} has {part.size} bytes; a file may have {max_file_size}.",
                hint="Leave it out, or raise max_file_size if your CloudIndex plan allows it.",
            )
    total = sum(part.size for part in files)
    if max_request_size is not None and total > max_request_size:
        raise ConfigurationError(
            f"A request of {total:,} bytes; it may have {max_request_size:,}.",
            hint="Send fewer files at once, or raise max_request_size if your CloudIndex plan allows it.",
        )


def fit_request(sizes: Iterable[int], max_request_size: int) -> int:
    """How many of the next files go into one request: at least one, within the API's count and the request's bytes."""
    count, total = 0, 0
    for size in sizes:
        total += size
        if count == MAX_FILES_PER_REQUEST or (count and total > max_request_size):
            break
        count += 1
    return count


def request_estimate(documents: int, total_bytes: int, max_request_size: int) -> int:
    """About how many upload requests a backlog needs."""
    return max(math.ceil(documents / MAX_FILES_PER_REQUEST), math.ceil(total_bytes / max_request_size))
