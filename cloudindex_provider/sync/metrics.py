"""What is told to a monitoring system: every metric declared once, and the protocol by which values are told.

The counts of a run come from its report and from nowhere else (``sync.report.numbers``). ``docs/metrics.md`` and the
dashboard beside it are compared with this by a test. A name holds what plain StatsD would lose as a tag; no tag holds a
key, or the id of a document or run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cloudindex_provider.state.counts import COUNTS, CUMULATIVE, QUANTITIES

__all__ = [
    "BACKLOG",
    "EVENTS_LAG",
    "LAG_P50",
    "LAG_P95",
    "METRICS",
    "RUN_DURATION",
    "Kind",
    "Metric",
    "Metrics",
    "RequestMetrics",
    "event_metric",
    "metric_of",
]

BACKLOG = "cloudindex.backlog"
RUN_DURATION = "cloudindex.run.duration"
LAG_P50, LAG_P95 = "cloudindex.lag.p50", "cloudindex.lag.p95"
EVENTS_LAG = "cloudindex.events.lag"
_RATE_LIMITED = "cloudindex.request.rate_limited"
_BROKEN = "cloudindex.request.broken"
_REPEATED = "cloudindex.request.repeated"


class Kind(StrEnum):
    """What a monitoring system does with the values."""

    COUNTER = "counter"  # adds them up
    GAUGE = "gauge"  # keeps the last one
    TIMER = "timer"  # milliseconds, of which it keeps the distribution


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, as the documentation shows it."""

    name: str
    kind: Kind
    meaning: str


class Metrics(Protocol):
    """Where values go, with their tags. Thread-safe, and raises nothing: no sync fails for a metric."""

    def count(self, name: str, value: int) -> None:
        """Add to a counter."""

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""

    def timing(self, name: str, seconds: float) -> None:
        """Tell how long something took."""


def metric_of(count: str) -> str:
    """The metric of one of the report's counts."""
    return f"cloudindex.{count}" if count in QUANTITIES else f"cloudindex.documents.{count}"


def event_metric(count: str) -> str:
    """The metric of one of the counts of messages and events."""
    return f"cloudindex.events.{count}"


def _request_metric(operation: str) -> str:
    return f"cloudindex.request.{operation.replace(' ', '_')}"


_OPERATIONS = {
    "upload documents": "an upload request, with all its files",
    "list documents": "the list of documents, until its answer begins",
    "get document": "a document's status",
    "delete document": "a delete",
    "list versions": "a document's versions",
    "query": "a query",
    "configure integration": "the call of the single step that sets up an integration",
}
_EVENTS = {
    "messages": "messages received from the queue",
    "test_messages": "S3's own test messages among them",
    "unreadable": "messages that nobody can read",
    "events": "events in them",
    "ignored": "events that change nothing about what an object is",
    "foreign": "events about objects of no sync",
}
METRICS = (
    *(
        Metric(metric_of(one.name), Kind.COUNTER if one.name in CUMULATIVE else Kind.GAUGE, one.meaning)
        for one in COUNTS
        if one.reported
    ),
    Metric(BACKLOG, Kind.GAUGE, "documents still to upload; told by the detection, once a minute, and by the report"),
    Metric(RUN_DURATION, Kind.TIMER, "from the beginning of a run's detection to its report"),
    Metric(LAG_P50, Kind.GAUGE, "seconds from S3's LastModified to `processed`, median of what a run has indexed"),
    Metric(LAG_P95, Kind.GAUGE, "the same, 95th percentile"),
    *(Metric(_request_metric(name), Kind.TIMER, meaning) for name, meaning in _OPERATIONS.items()),
    Metric(_RATE_LIMITED, Kind.COUNTER, "answers 429, of whatever endpoint"),
    Metric(_BROKEN, Kind.COUNTER, "requests without an answer, and answers 5xx"),
    Metric(_REPEATED, Kind.COUNTER, "requests sent once more in place after a failure"),
    *(Metric(event_metric(name), Kind.COUNTER, meaning) for name, meaning in _EVENTS.items()),
    Metric(EVENTS_LAG, Kind.TIMER, "from a message's arrival in the queue until what S3 says of its keys is committed"),
)


@dataclass(frozen=True, slots=True)
class RequestMetrics:
    """An ``api.observer.Observer``: the client's requests as metrics, told as they end."""

    metrics: Metrics

    def answered(self, operation: str, status: int, seconds: float) -> None:
        self.metrics.timing(_request_metric(operation), seconds)
        if status == 429:
            self.metrics.count(_RATE_LIMITED, 1)
        elif status == 0 or status >= 500:
            self.metrics.count(_BROKEN, 1)

    def repeated(self, operation: str) -> None:
        self.metrics.count(_REPEATED, 1)
