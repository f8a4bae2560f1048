"""Waiting for documents to be processed without a worker, and the look at them that sensor and trigger share.

The trigger runs the synchronous client in a thread. It stores ids and intervals, never a key, and it never lets an
exception out: Airflow would lose its type, and with it the decision whether to retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from cloudindex_provider import errors
from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.models import Phase
from cloudindex_provider.errors import AuthenticationError, CloudIndexError, NotFoundError, ProcessingFailedError
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.sync.polling import MAX_POLL_INTERVAL, SENSOR_POLL_INTERVAL, Poller
from cloudindex_provider.words import count, verb

__all__ = [
    "CloudIndexProcessingTrigger",
    "error_from_event",
    "event_fields",
    "still_processing",
]


def still_processing(client: CloudIndexClient, document_ids: Sequence[str], project_id: str) -> list[str]:
    """The ids of those documents that are not processed yet; one GET each.

    :raises ProcessingFailedError: naming every one of them that failed or is gone, with the service's own reason
    """
    waiting: list[str] = []
    broken: list[str] = []
    for document_id in document_ids:
        try:
            document = client.get_document(document_id, project_id=project_id).document
        except NotFoundError:
            broken.append(f"{document_id} is not there")
            continue
        if document.phase is Phase.WAITING:
            waiting.append(document_id)
        elif document.phase is Phase.FAILED:
            broken.append(f"{document_id} failed: {document.error_message or 'CloudIndex gave no reason'}")
        elif document.phase is Phase.GONE:
            broken.append(f"{document_id} is deleted")
    if broken:
        noun = "document" if len(broken) == 1 else f"{len(broken)} documents"
        raise ProcessingFailedError(f"{noun} of project {project_id!r} can't be searched: {'; '.join(broken)}.")
    return waiting


class CloudIndexProcessingTrigger(BaseTrigger):
    """Fires once: when all documents are processed, or at the first error.

    The first look comes after one interval, since the task has just looked. Intervals grow by half each time.

    :param cloudindex_conn_id: id of the CloudIndex connection
    :param project_id: the project of the documents
    :param document_ids: ids of the documents to wait for
    :param poll_interval: first interval in seconds, at least 5
    :param max_poll_interval: longest interval in seconds
    """

    def __init__(
        self,
        *,
        cloudindex_conn_id: str,
        project_id: str,
        document_ids: Sequence[str],
        poll_interval: float = SENSOR_POLL_INTERVAL,
        max_poll_interval: float = MAX_POLL_INTERVAL,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's has no annotations
        self.cloudindex_conn_id = cloudindex_conn_id
        self.project_id = project_id
        self.document_ids = list(document_ids)
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments: ids and numbers, no secret."""
        arguments = {
            "cloudindex_conn_id": self.cloudindex_conn_id,
            "project_id": self.project_id,
            "document_ids": self.document_ids,
            "poll_interval": self.poll_interval,
            "max_poll_interval": self.max_poll_interval,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yields one event: ``{"status": "success"}``, or ``{"status": "error", "error": {"type": ..., fields}}``."""
        try:
            await self._wait()
        except Exception as error:  # whatever leaves here loses its type
            self.log.warning("Waiting for CloudIndex ended with an error", exc_info=True)
            payload = {"status": "error", "error": event_fields(error)}
        else:
            payload = {"status": "success"}
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's has no annotations

    async def _wait(self) -> None:
        hook = CloudIndexHook(self.cloudindex_conn_id, project_id=self.project_id)
        await hook.aload()
        waiting = self.document_ids
        poller = Poller.in_trigger(self.poll_interval, self.max_poll_interval)
        waited = poller.head_start
        while pause := poller.after(waiting=len(waiting), waited=waited):
            await asyncio.sleep(pause.seconds)
            waited += pause.seconds
            waiting = await self._ask(hook, waiting)
            what = (f"{len(waiting):,}", count(len(self.document_ids), "document"), verb(len(waiting)))
            self.log.info("%s of %s %s still being processed", *what)

    async def _ask(self, hook: CloudIndexHook, waiting: Sequence[str]) -> list[str]:
        """One look; a second one where the API key was refused and the connection has another one by now."""
        try:
            return await asyncio.to_thread(self._look, hook, waiting)
        except AuthenticationError:
            if not await hook.arenew():
                raise
        return await asyncio.to_thread(self._look, hook, waiting)

    def _look(self, hook: CloudIndexHook, document_ids: Sequence[str]) -> list[str]:
        # A client per look: nothing stays open for minutes, and a cancelled trigger leaves nothing behind.
        with hook.session() as client:
            return still_processing(client, document_ids, self.project_id)


def error_from_event(event: Mapping[str, Any]) -> Exception:
    """The exception of an error event, of its own type again where it was one of ours."""
    said = event.get("error")
    said = said if isinstance(said, Mapping) else {}
    fields: dict[str, Any] = {name: said.get(name) for name in CloudIndexError("").fields()}
    fields["outcome_unknown"] = bool(fields["outcome_unknown"])
    message = str(fields.pop("message") or "the trigger gave no reason")
    kind = _error_types().get(str(said.get("type")))
    if kind is None:
        return RuntimeError(f"{said.get('type')}: {message}")
    return kind(message, **fields)


def event_fields(error: Exception) -> dict[str, Any]:
    """What an error event may hold of an exception: ``{"type": ..., "message": ...}`` and, of ours, all fields."""
    if isinstance(error, CloudIndexError):
        return {"type": type(error).__name__} | error.fields()
    # Only Airflow's own texts are known to be free of secrets; the log has the others, masked.
    message = str(error) if isinstance(error, AirflowException) else "see the log of the triggerer"
    return {"type": type(error).__name__, "message": message}


def _error_types() -> dict[str, type[CloudIndexError]]:
    ours = (getattr(errors, name) for name in errors.__all__)
    return {kind.__name__: kind for kind in ours if issubclass(kind, CloudIndexError)}
