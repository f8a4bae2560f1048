"""How long a backlog takes, as a number and in words. Pure; a pace that isn't known is never made up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cloudindex_provider.api.limits import request_estimate
from cloudindex_provider.words import count, duration, size

__all__ = ["Estimate", "pace"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left to upload, and the requests that go in a minute.

    :param documents: documents to upload
    :param size: their bytes
    :param max_request_size: bytes of files in one request
    :param requests_per_minute: ``None``: not known
    :param shared: the requests are all that the service allows, so one a minute of them is a look at what is processing
    """

    documents: int
    size: int
    max_request_size: int
    requests_per_minute: float | None = None
    shared: bool = False

    @property
    def requests(self) -> int:
        """About how many upload requests that is."""
        return request_estimate(self.documents, self.size, self.max_request_size)

    @property
    def seconds(self) -> float | None:
        """About how long that takes; ``None`` where the pace isn't known."""
        if not self.documents:
            return 0.0
        uploads = self._uploads_per_minute
        return self.requests / uploads * 60 if uploads else None

    @property
    def _uploads_per_minute(self) -> float | None:
        rate = self.requests_per_minute
        if not rate or rate <= 0 or not math.isfinite(rate):
            return None
        return max(rate - 1, rate / 2) if self.shared else rate

    def done_within(self, seconds: float, max_documents: int | None = None) -> int:
        """About how many documents are uploaded in that time, when no more than ``max_documents`` may be."""
        most = self.documents if max_documents is None else min(self.documents, max(0, max_documents))
        needed = self.seconds
        if not needed or needed <= seconds:
            return most
        return min(most, int(self.documents * max(0.0, seconds) / needed))

    def backlog(self) -> str:
        """For example: 48,211 documents, 2.1 GB, about 2,411 requests: about 25 min at 100 requests a minute."""
        text = f"{count(self.documents, 'document')}, {size(self.size)}, about {count(self.requests, 'request')}"
        time = self.time()
        return f"{text}: {time}" if time else text

    def time(self, left: str = "") -> str:
        """For example: about 25 min at 100 requests a minute. Empty where it isn't known."""
        if self.seconds is None or self.requests_per_minute is None:
            return ""
        rate = (
            f"{self.requests_per_minute:,.0f}" if self.requests_per_minute >= 10 else f"{self.requests_per_minute:.2g}"
        )
        return f"about {duration(self.seconds)}{left} at {rate} request{'' if rate == '1' else 's'} a minute"

    def deferral(self, seconds: float, max_documents: int | None) -> str:
        """What this run leaves to the next ones when it may go on for ``seconds`` more; empty: nothing."""
        done = self.done_within(seconds, max_documents)
        if done >= self.documents:
            return ""
        limits = {"max_run_time": self.done_within(seconds), "max_documents_per_run": max_documents}
        why = " and ".join(name for name, most in limits.items() if most is not None and most < self.documents)
        if not done:
            return f"All of it is deferred to the next runs ({why})."
        return f"This run does about {done:,} of them ({why}); the rest is deferred to the next runs."


def pace(requests: int, seconds: float) -> float | None:
    """Requests a minute; ``None`` where there is nothing to tell it from."""
    return requests * 60 / seconds if requests > 0 and seconds > 0 else None
