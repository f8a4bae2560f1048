"""The handler: which of the two ways, within the time that the function has, and its answer.

The same messages may come twice, from a retry of Lambda's or of SQS's: what is in step costs a look and nothing else.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from cloudindex_provider.aws_lambda.environment import Environment
from cloudindex_provider.aws_lambda.invocations import Invocation, read_invocation
from cloudindex_provider.errors import HandOverError, ProviderError, SettingsError
from cloudindex_provider.s3.event_queue import Delivery
from cloudindex_provider.sync.events.gather import Gathered
from cloudindex_provider.words import count

__all__ = ["LambdaContext", "handler"]

log = logging.getLogger("cloudindex_provider.aws_lambda")
_MARGIN = 5.0  # seconds of the function's time that are left for its end, where keys are synced
_LEAST = 8.0  # seconds without which no key would ever be synced; Lambda's own default is 3
_LAST_MOMENT = 0.5  # the margin where Airflow is told, which has nothing to end
_kept: dict[str, Any] = {}  # of a warm start: Airflow's token and asset ids, boto3's clients


class LambdaContext(Protocol):
    """What is used of Lambda's context."""

    function_name: str
    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Started by S3's events, by way of SQS, SNS or EventBridge, or directly.

    Returns what SQS is to send again (``batchItemFailures``); of the other ways, raises where one is to be tried again.

    :raises SettingsError: naming the environment variable that is missing or wrong
    :raises ProviderError: where nothing could be done, or a start without SQS is to be tried again
    """
    if "AWS_LAMBDA_LOG_LEVEL" not in os.environ:  # Lambda's own setting, which the runtime has followed
        logging.getLogger("cloudindex_provider").setLevel(logging.INFO)
    seconds = context.get_remaining_time_in_millis() / 1000
    end = time.monotonic() + seconds
    environment = Environment(os.environ)
    environment.check()
    invocation = read_invocation(event)
    if environment.has_state:
        _check_timeout(seconds)
        again, error = _sync(environment, invocation.deliveries, end - _MARGIN, context)
    else:
        again, error = _tell_airflow(environment, invocation.deliveries, end - _LAST_MOMENT)
    return _answer(invocation, again, error)


def _check_timeout(seconds: float) -> None:
    if seconds < _LEAST:
        raise SettingsError(
            f"The function has {seconds:.0f} s, in which no key can be synced.",
            field="timeout",
            hint="Give it a timeout of five minutes; Lambda's default is 3 s.",
        )


def _answer(invocation: Invocation, again: Sequence[Delivery], error: ProviderError | None) -> dict[str, Any]:
    if again and (not invocation.answers or (error is not None and len(again) == len(invocation.deliveries))):
        raise error or HandOverError("The event can't be read, or its keys aren't done.", hint="See the log above.")
    return invocation.answer(again)


def _tell_airflow(
    environment: Environment, deliveries: Sequence[Delivery], until: float
) -> tuple[list[Delivery], ProviderError | None]:
    """The messages whose keys Airflow hasn't taken, and the first reason."""
    from cloudindex_provider.aws_lambda.airflow_api import AirflowAssets, open_api

    where = environment.airflow()
    if _kept.get("airflow place") != where:
        _kept.update({"airflow place": where, "airflow": AirflowAssets(open_api(where))})
    assets: AirflowAssets = _kept["airflow"]
    assets.api.until = until
    places = environment.places()
    gathered = Gathered(places)
    for one in deliveries:
        gathered.add(one)
    _log(gathered.counts, gathered.complaints())
    failed: set[int] = set()
    error: ProviderError | None = None
    for number, keys in gathered.keys.items():
        try:
            assets.tell(places[number], list(keys))
        except HandOverError as refused:
            log.error("%s %s again.", refused, count(len(keys), "key comes", "keys come"))
            failed.add(number)
            error = error or refused
    again = [one.delivery for one in gathered.readable if one.places & failed]
    return [*again, *(delivery for delivery, _ in gathered.poison)], error


def _sync(
    environment: Environment, deliveries: Sequence[Delivery], until: float, context: LambdaContext
) -> tuple[list[Delivery], ProviderError | None]:
    """The messages whose keys aren't done, and the first reason."""
    from cloudindex_provider.aws_lambda.engine import rds_client, s3_client, sync_contexts
    from cloudindex_provider.sync.events.handed import work_off

    with sync_contexts(
        environment.state(),
        environment.sync_settings(),
        _kept_client("s3", s3_client),
        rds=lambda: _kept_client("rds", rds_client),
        function=context.function_name,
        request_id=context.aws_request_id,
    ) as syncs:
        done = work_off(syncs, deliveries, seconds=max(0.0, until - time.monotonic()))
    _log(done.counts, done.complaints)
    return done.again, done.error


def _kept_client(name: str, make: Callable[[], Any]) -> Any:
    if name not in _kept:
        _kept[name] = make()
    return _kept[name]


def _log(counts: Mapping[str, int], complaints: Sequence[str]) -> None:
    for text in complaints:
        log.warning("%s", text)
    log.info("%s", ", ".join(f"{name} {number:,}" for name, number in counts.items() if number))
