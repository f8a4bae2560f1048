"""Carrying out one request together with what goes wrong with it on purpose.

The one place where a fault turns into something that happens; ``faults`` only decides which one it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cloudindex_provider.local.errors import Refusal
from cloudindex_provider.local.faults import Fault, Faults, Operation, Plan
from cloudindex_provider.local.ratelimit import Window, too_many
from cloudindex_provider.local.responses import HangUp, after, html_page
from cloudindex_provider.local.settings import Settings

__all__ = ["Performer"]

_CODES = {
    400: "validation/invalid-input",
    401: "api_key/invalid",
    403: "permission/forbidden",
    404: "business/not-found",
    429: "rate_limit/exceeded",
    503: "system/service-unavailable",
}


class Performer:
    """Runs actions in the thread pool, on time or late."""

    def __init__(self, faults: Faults, settings: Settings) -> None:
        self._faults = faults
        self._settings = settings
        self._late: set[asyncio.Task[None]] = set()

    async def perform(
        self,
        operation: Operation,
        subjects: Sequence[str],
        action: Callable[[Plan], Response],
        release: Callable[[], None] = lambda: None,
    ) -> Response:
        """Answer a request that was read to its end; ``release`` is called when what it holds is needed no more.

        ``subjects`` are what a fault may match: file names, a document's id and name, or a query's text. Raises
        ``Refusal``.
        """
        plan = self._faults.plan(operation, subjects)
        if plan.ending and plan.ending.kind == "late_commit":
            self._commit_late(plan, plan.ending.delay, action, release)
            return HangUp()
        try:
            await asyncio.sleep(plan.delay)
            if plan.ending and (early := self._instead(plan.ending)):
                return early
            return after(plan.ending, await run_in_threadpool(action, plan))
        finally:
            release()

    def _instead(self, fault: Fault) -> Response | None:
        """What is answered instead of carrying the request out; None to carry it out."""
        if fault.kind == "cut_before":
            return HangUp()
        if fault.kind == "html":
            return html_page(fault.status)
        if fault.kind == "429":
            raise self._too_many(fault.retry_after, fault.error_code)
        if fault.kind == "status":
            code = fault.error_code or _CODES.get(fault.status, "system/internal-error")
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            raise Refusal(fault.status, code, "A fault that was asked for", headers=headers)
        return None

    def _too_many(self, retry_after: float | None, code: str | None) -> Refusal:
        reset_at = time.time() + (1.0 if retry_after is None else retry_after)
        window = Window(self._settings.requests_per_window, 0, reset_at, allowed=False)
        return too_many(self._settings, window, code or "rate_limit/exceeded")

    def _commit_late(
        self, plan: Plan, delay: float, action: Callable[[Plan], Response], release: Callable[[], None]
    ) -> None:
        async def commit() -> None:
            try:
                await asyncio.sleep(delay)
                with suppress(Refusal):  # nobody is left to hear it
                    await run_in_threadpool(action, plan)
            finally:
                release()

        task = asyncio.create_task(commit())
        self._late.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._late.discard)
