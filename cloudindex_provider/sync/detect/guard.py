"""Whether the removals that a run has found may be acted on, or wait for a person. Pure."""

from __future__ import annotations

from cloudindex_provider.state.approvals import Hold
from cloudindex_provider.sync.settings import Limits

__all__ = ["delete_guard"]


def delete_guard(*, removed: int, live: int, listed: int, limits: Limits) -> Hold | None:
    """Why removals must be held, or ``None``. A mass delete is more often a mistake than a wish.

    :param removed: keys of the state that S3 lists no more
    :param live: documents of this sync before the run
    """
    if not removed:
        return None
    if not listed and live:
        return Hold(f"S3 lists nothing, and {live} documents are live")
    if removed > limits.max_delete_absolute:
        return Hold(f"{removed} removals are more than max_delete_absolute ({limits.max_delete_absolute})")
    percent = 100.0 * removed / live if live else 100.0
    if removed > limits.max_delete_documents and percent > limits.max_delete_percent:
        share = (
            f"{percent:.1f} % of {live} live documents is over max_delete_percent ({limits.max_delete_percent:g})"
            if live
            else "none of this sync's documents is processed yet"
        )
        return Hold(
            f"{removed} removals are more than max_delete_documents ({limits.max_delete_documents}) and {share}"
        )
    return None
