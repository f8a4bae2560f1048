"""The syncs that follow one stream of events, as a list of their arguments: read, and their names checked. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.s3.place import is_access_point
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.settings import SETTINGS

__all__ = ["naming_row", "sync_rows"]

# Settings that say something about one run, or about a listing; who follows events has neither.
_NOT_OF_EVENTS = ("keys", "dry_run", "plan_hash", "max_run_time", "listing_ranges", "audit_interval")


def sync_rows(field: str, syncs: object, *, also: Collection[str] = ()) -> list[Mapping[str, Any]]:
    """The syncs' arguments; also of the text of the list, as a template or an environment variable gives it.

    :param field: the list's name
    :param also: names that a row may have beside those of settings
    :raises SettingsError: for what is no such list, or has a name that means nothing
    """
    found = arguments.parsed_list(field, syncs) if isinstance(syncs, str) else syncs
    if not isinstance(found, list | tuple) or not found or not all(isinstance(row, Mapping) for row in found):
        raise SettingsError(
            f"{field} is no list of syncs.", field=field, hint='Write [{"bucket": ..., "prefix": ...}, ...].'
        )
    known = [name for name in (*SETTINGS, *also) if name not in _NOT_OF_EVENTS]
    for number, row in enumerate(found):
        for name in row:
            if name not in known:
                raise SettingsError(
                    f"{field}[{number}] has {name!r}, which no sync by events has.",
                    field=field,
                    hint=f"It may have {', '.join(known)}.",
                )
        _check_bucket(field, number, row.get("bucket"))
    return list(found)


def _check_bucket(field: str, number: int, bucket: object) -> None:
    """S3's events name the bucket, whichever access point an object came by: such a sync would hear of nothing."""
    if isinstance(bucket, str) and is_access_point(bucket):
        raise SettingsError(
            f"{field}[{number}]: bucket is the access point {bucket!r}, which no event names.",
            field=field,
            hint="Give the name of the bucket behind it.",
        )


@contextmanager
def naming_row(field: str, number: int) -> Iterator[None]:
    """Say which of the syncs a wrong setting is of."""
    try:
        yield
    except SettingsError as error:
        raise error.saying(f"{field}[{number}]: {error.message}") from None
