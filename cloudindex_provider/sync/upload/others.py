"""Before a run ends: what others have claimed of its keys is waited for, until it shows that they live or have died.

Who is alive renews its claims four times a lease, so this takes a lease at most. What the dead have left is this run's
to upload; only what somebody alive works on may count as elsewhere.
"""

from __future__ import annotations

from cloudindex_provider.state import claims
from cloudindex_provider.state.records import Run
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.words import count

__all__ = ["outlast_others"]

_LOOKS = 8  # a lease; a living owner renews its claims in two of them


def outlast_others(ctx: SyncContext, run: Run, seconds: float) -> bool:
    """Wait until nobody's word is missing; true where something has become free, or has been dealt with, meanwhile.

    :param seconds: that the run has left; a lease is enough
    """
    first = claims.claimed_by_others(ctx.db, run, ctx.owner)
    if not first:
        return False
    what = count(len(first), "key is", "keys are")
    ctx.log.info("%s claimed by another run: looking whether it is alive.", what)
    waited, pause = 0.0, ctx.lease / _LOOKS
    while waited <= min(ctx.lease, seconds) and not ctx.stop.is_set():
        ctx.sleep(pause)
        waited += pause
        now = claims.claimed_by_others(ctx.db, run, ctx.owner)
        if first.keys() - now.keys():
            return True
        if all(now[key] > until for key, until in first.items()):
            return False
    return False
