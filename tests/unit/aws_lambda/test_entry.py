"""What a start makes of Lambda's own settings, before it reads an event."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from cloudindex_provider.aws_lambda.entry import handler
from cloudindex_provider.errors import SettingsError

OURS = logging.getLogger("cloudindex_provider")


class Context:
    function_name = "follow"
    aws_request_id = "r"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture(autouse=True)
def fresh_logger() -> Iterator[None]:
    was = OURS.level
    OURS.setLevel(logging.NOTSET)
    yield
    OURS.setLevel(was)


@pytest.mark.parametrize(("chosen", "level"), [(None, logging.INFO), ("WARN", logging.NOTSET)])
def test_the_log_is_as_lambda_is_set(monkeypatch: pytest.MonkeyPatch, chosen: str | None, level: int) -> None:
    """Where nobody has chosen a level, the runtime's is WARNING, which would hide what was done."""
    monkeypatch.delenv("AWS_LAMBDA_LOG_LEVEL", raising=False)
    if chosen:
        monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", chosen)
    with pytest.raises(SettingsError, match="No way is set"):
        handler({}, Context())
    assert OURS.level == level
