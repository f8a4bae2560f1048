"""Waiting for processed documents: the sensor's looks, and the trigger outside of any Airflow process."""

from __future__ import annotations

import asyncio
import json

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout, TaskDeferred

from cloudindex_provider import errors
from cloudindex_provider.errors import ProcessingFailedError
from cloudindex_provider.sensors.cloudindex import CloudIndexProcessingSensor
from cloudindex_provider.triggers import cloudindex as triggers
from cloudindex_provider.triggers.cloudindex import CloudIndexProcessingTrigger, error_from_event

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")


@pytest.fixture
def naps(monkeypatch):
    """The intervals that a trigger slept, without the sleeping."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return slept


def sensor(ids, **more):
    return CloudIndexProcessingSensor(task_id="t", document_ids=ids, poke_interval=0, **more)


def trigger(service, ids, **more):
    return CloudIndexProcessingTrigger(
        cloudindex_conn_id="cloudindex_default", project_id=service.project, document_ids=ids, **more
    )


def event_of(one):
    async def first():
        return [event.payload async for event in one.run()]

    events = asyncio.run(first())
    assert len(events) == 1
    json.dumps(events)
    return events[0]


def test_the_sensor_waits_until_all_are_processed(service):
    service.add("a")
    service.add("b")
    service.looks_until_processed = 3
    sensor(["a", "b"]).execute({})
    assert service.looks_until_processed == 0


def test_a_failed_and_a_missing_document_are_named_with_the_services_reason(service):
    service.add("a", "failed", errorMessage="The PDF is encrypted")
    service.add("b", "processing")
    with pytest.raises(ProcessingFailedError) as caught:
        sensor(["a", "b", "c"]).execute({})
    for words in ("a failed: The PDF is encrypted", "c is not there", "cloudindex_default"):
        assert words in str(caught.value)
    assert caught.value.retryable is False


def test_a_timeout_is_airflows_own(service):
    service.add("a", "processing")
    with pytest.raises(AirflowSensorTimeout):
        sensor(["a"], timeout=0).execute({})


def test_more_than_twenty_are_refused_and_none_are_done(service):
    with pytest.raises(errors.ConfigurationError, match="21 document ids"):
        sensor([f"d{number}" for number in range(21)]).execute({})
    sensor([]).execute({})
    assert service.requests == []


def test_what_is_done_already_is_never_deferred(service):
    service.add("a")
    sensor(["a"], deferrable=True).execute({})


def test_deferring_hands_over_only_what_still_waits_and_no_secret(service):
    service.add("a")
    service.add("b", "processing")
    with pytest.raises(TaskDeferred) as caught:
        sensor(["a", "b"], deferrable=True, timeout=77).execute({})
    path, arguments = caught.value.trigger.serialize()
    assert path == "cloudindex_provider.triggers.cloudindex.CloudIndexProcessingTrigger"
    assert arguments["document_ids"] == ["b"]
    assert arguments["project_id"] == service.project
    assert service.key not in json.dumps(arguments)
    assert caught.value.timeout.total_seconds() == 77
    assert CloudIndexProcessingTrigger(**arguments).serialize() == (path, arguments)


def test_deferrable_follows_airflows_setting(service, monkeypatch):
    service.add("a", "processing")
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    with pytest.raises(TaskDeferred):
        sensor(["a"]).execute({})


def test_the_trigger_waits_longer_each_time_and_never_less_than_five_seconds(service, naps):
    service.add("a")
    service.looks_until_processed = 4
    assert event_of(trigger(service, ["a"], poll_interval=0, max_poll_interval=15)) == {"status": "success"}
    assert naps == [5, 7.5, 11.25, 15, 15]


def test_the_trigger_asks_only_for_what_still_waits(service, naps):
    service.add("a")
    service.add("b")
    service.looks_until_processed = 1
    event_of(trigger(service, ["a", "b"]))
    assert [path.rsplit("/", 1)[1] for path in service.paths("GET")] == ["a", "b", "a"]


def test_an_error_leaves_the_trigger_as_an_event_and_comes_back_as_its_type(service, naps):
    service.stay(429, {"error": "slow"}, headers={"Retry-After": "88", "X-Request-ID": "r-9"})
    event = event_of(trigger(service, ["a"]))
    assert event["status"] == "error"
    with pytest.raises(errors.RateLimitedError) as caught:
        sensor(["a"]).execute_complete({}, event)
    assert caught.value.retry_after == pytest.approx(88, abs=1)
    assert caught.value.request_id == "r-9"
    assert "connection 'cloudindex_default'" in str(caught.value)


def test_a_failed_document_comes_back_as_a_permanent_failure(service, naps):
    service.add("a", "failed", errorMessage="broken")
    with pytest.raises(ProcessingFailedError, match="a failed: broken") as caught:
        sensor(["a"]).execute_complete({}, event_of(trigger(service, ["a"])))
    assert caught.value.retryable is False


def test_a_wrong_key_comes_back_without_the_key(service, naps, connect):
    connect(password="wrong-secret-key")
    event = event_of(trigger(service, ["a"]))
    assert isinstance(error_from_event(event), errors.AuthenticationError)
    assert "wrong-secret-key" not in json.dumps(event)


def test_a_foreign_error_comes_back_without_its_text_unless_it_is_airflows(service, naps, monkeypatch):
    def broken(*_):
        raise OSError("something with a secret")

    monkeypatch.setattr(triggers, "still_processing", broken)
    error = error_from_event(event_of(trigger(service, ["a"])))
    assert type(error) is RuntimeError
    assert "OSError" in str(error)
    assert "secret" not in str(error)
    monkeypatch.delenv("AIRFLOW_CONN_CLOUDINDEX_DEFAULT")
    assert "cloudindex_default" in str(error_from_event(event_of(trigger(service, ["a"]))))


@pytest.mark.parametrize(
    "event", [None, {}, {"status": "error"}, {"status": "error", "error": "type"}, {"error": {"type": 7}}]
)
def test_an_event_that_says_nothing_is_no_success(event):
    with pytest.raises(RuntimeError):
        sensor(["a"]).execute_complete({}, event)


def test_a_cancelled_trigger_fires_nothing(service):
    async def cancel():
        events = []

        async def collect():
            events.extend([event async for event in trigger(service, ["a"]).run()])

        task = asyncio.create_task(collect())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return events

    assert asyncio.run(cancel()) == []
