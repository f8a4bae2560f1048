"""Whether the removals that a run has found may be acted on, or wait for a person. Pure."""

from __future__ import annotations

from cloudindex_provider.state.approvals import Hold
from cloudindex_provider.sync.settings import Limits
from cloudindex_provider.words import count

__all__ = ["delete_guard", "moved_reason"]


def delete_guard(
    *,
    removed: int,
    live: int,
    listed: int,
    limits: Limits,
    earlier: int = 0,
    endpoint: str | None = None,
    made_from: str | None = None,
) -> Hold | None:
    """Why removals must be held, or ``None``. A mass delete is more often a mistake than a wish.

    :param removed: keys of the state that S3 lists no more
    :param live: documents of this sync before the run, and before the removals that were ``earlier``
    :param earlier: removals of runs before that are judged together with these: looks at named keys see a few each
    :param endpoint: the store that was listed, where that is known
    :param made_from: the store that the documents were made from, where that is known
    """
    if not removed:
        return None
    moved = moved_reason(endpoint, made_from)
    if moved is not None:
        return Hold(moved, endpoint=endpoint, made_from=made_from)
    reason = _too_many(removed + earlier, live, listed, limits)
    if reason is not None and earlier:
        reason = f"{reason}, those of the last day by name included"
    return None if reason is None else Hold(reason, endpoint=endpoint)


def moved_reason(endpoint: str | None, made_from: str | None) -> str | None:
    """Why a 404 of this store proves nothing about documents that were made from another one of them."""
    if endpoint is None or made_from in (None, endpoint):
        return None
    return f"the bucket is at {endpoint} now, the documents were made from {made_from}"


def _too_many(removed: int, live: int, listed: int, limits: Limits) -> str | None:
    if not listed and live:
        return f"S3 lists nothing, and {count(live, 'document is', 'documents are')} live"
    many = f"{count(removed, 'removal is', 'removals are')} more than"
    if removed > limits.max_delete_absolute:
        return f"{many} max_delete_absolute ({limits.max_delete_absolute:,})"
    percent = 100.0 * removed / live if live else 100.0
    if removed > limits.max_delete_documents and percent > limits.max_delete_percent:
        share = (
            f"{percent:.1f} % of {count(live, 'live document')} is over max_delete_percent"
            f" ({limits.max_delete_percent:g})"
            if live
            else "none of this sync's documents is processed yet"
        )
        return f"{many} max_delete_documents ({limits.max_delete_documents:,}) and {share}"
    return None
