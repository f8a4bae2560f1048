"""What a person can do about removals that are held: the keys, the page, the command, a setting if one helps."""

from __future__ import annotations

from cloudindex_provider.s3.place import bucket_place
from cloudindex_provider.state import runs, sources
from cloudindex_provider.state.first_keys import read_first_keys
from cloudindex_provider.state.records import Run
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.detect.guard import moved_reason
from cloudindex_provider.words import quoted, size

__all__ = ["first_held", "held_remedy"]

_SHOWN = 5  # keys


def held_remedy(ctx: SyncContext, run: Run, held: int) -> str:
    """How the removals of a mass delete can be let go.

    No limit lets those of an emptied prefix go, nor those of a bucket that is another one by now.
    """
    if ctx.settings.keys is None and not runs.counts(ctx.db, run).get("listed"):
        setting = "no limit helps where S3 lists nothing"
    elif moved_reason(bucket_place(ctx.s3.client, ctx.s3.bucket), sources.get_source(ctx.db, ctx.source.id).endpoint):
        setting = "no limit helps where the bucket is another one"
    else:
        setting = "or raise the limit that is named here for one run"
    first = ", ".join(first_held(ctx, run, _SHOWN))
    return (
        (f"The first of them: {first}. " if first else "")
        + "Look at the bucket first. If they are really to go, allow it on the page CloudIndex in Airflow's UI, or by"
        f" `airflow cloudindex approve --source {ctx.source.id} --ceiling {held}`; {setting}."
    )


def first_held(ctx: SyncContext, run: Run, limit: int) -> list[str]:
    """The first keys whose documents would go, with the sizes of these."""
    found = read_first_keys(ctx.db, run, ["held"], limit=limit)["held"]
    return [quoted(one.key) + (f" ({size(one.size)})" if one.size is not None else "") for one in found]
