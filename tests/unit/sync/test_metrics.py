"""What a request tells."""

from __future__ import annotations

from collections import Counter

import pytest

from cloudindex_provider.sync.metrics import RequestMetrics


class Told:
    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.timed: list[tuple[str, float]] = []

    def count(self, name: str, value: int) -> None:
        self.counted[name] += value

    def gauge(self, name: str, value: float) -> None:
        raise AssertionError(f"no request sets a gauge: {name}")

    def timing(self, name: str, seconds: float) -> None:
        self.timed.append((name, seconds))


@pytest.mark.parametrize(
    ("status", "counted"),
    [(200, []), (404, []), (429, ["rate_limited"]), (500, ["broken"]), (503, ["broken"]), (0, ["broken"])],
)
def test_each_request_is_timed_and_what_went_wrong_is_counted(status: int, counted: list[str]) -> None:
    told = Told()
    RequestMetrics(told).answered("get document", status, 0.25)
    assert told.timed == [("cloudindex.request.get_document", 0.25)]
    assert list(told.counted.elements()) == [f"cloudindex.request.{name}" for name in counted]


def test_a_repeat_is_counted() -> None:
    told = Told()
    RequestMetrics(told).repeated("upload documents")
    assert told.counted == {"cloudindex.request.repeated": 1}
