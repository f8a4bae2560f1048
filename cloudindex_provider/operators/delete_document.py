"""Deletes documents by their ids, and remembers which: a later try goes on where an earlier one was."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk.configuration import conf

from cloudindex_provider.api.deletes import Deletes
from cloudindex_provider.errors import CloudIndexError, NotFoundError, RateLimitedError
from cloudindex_provider.hooks.rendered import Flag, Text, Texts, document_ids
from cloudindex_provider.operators.single_step import CloudIndexStepOperator
from cloudindex_provider.state.step_memory import Memory
from cloudindex_provider.sync.arguments import flag, is_unset
from cloudindex_provider.triggers.missing import NamesTriggerer
from cloudindex_provider.words import count

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CloudIndexDeleteDocumentOperator"]

log = logging.getLogger("cloudindex_provider.steps")

_DELETED, _MISSING = "deleted", "missing"
_SHOWN = 10  # ids that a message names
_SHORTEST_DEFERRAL = 5.0  # seconds; a trigger that fires at once meets Airflow's own race
_MARGIN = timedelta(minutes=10)  # past a deferral's end, after which there is no triggerer


class CloudIndexDeleteDocumentOperator(CloudIndexStepOperator, NamesTriggerer):
    """Deletes documents for good, with their version history.

    Returns ``{"deleted": [ids], "missing": [ids]}``, each in the order given.

    What is deleted is remembered in the state, so a later try asks only for the rest, and a document that an earlier
    try has deleted counts as deleted. One that fails for its own sake lets the others go on. That a document is not
    there is believed only once CloudIndex has shown that it knows the project.

    :param document_ids: one id or several, also as JSON text (templated)
    :param project_id: the project (templated); default: the connection's
    :param ignore_missing: a document that is not there counts as deleted; else the task fails, once all are tried
        (templated)
    :param deferrable: while CloudIndex's rate limit is used up, wait in the triggerer instead of using up a retry.
        Default: Airflow's ``[operators] default_deferrable``
    """

    template_fields: Sequence[str] = ("document_ids", "project_id", "ignore_missing", "cloudindex_conn_id")

    def __init__(
        self,
        *,
        document_ids: Texts,
        project_id: Text | None = None,
        ignore_missing: Flag = True,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.document_ids = document_ids
        self.project_id = project_id
        self.ignore_missing = ignore_missing
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, list[str]]:
        """Delete one after the other.

        :raises NotFoundError: the project is not there; or a document isn't, and ``ignore_missing`` is false
        :raises RateLimitedError: the limit is used up for longer than a worker should wait
        """
        return self._delete(context)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, list[str]]:
        """Where a deferred task goes on: with what is left."""
        return self._delete(context)

    def _delete(self, context: Context) -> dict[str, list[str]]:
        ids = document_ids(self.document_ids)
        ignored = is_unset(self.ignore_missing) or flag("ignore_missing", self.ignore_missing)
        hook = self._hook(self.project_id)
        if not ids:
            return {_DELETED: [], _MISSING: []}
        try:
            with self._session(hook) as session:
                memory = self._memory(session, hook, context)
                deleting = _Deleting(Deletes(session.client, log), memory)
                try:
                    deleting.delete(ids)
                finally:
                    log.info("%s of %s", deleting.summary(), count(len(ids), "document"))
                unsure = session.db is None and self._is_again(context)
        except RateLimitedError as error:
            self._defer_until(error.retry_after)
            raise
        outcome = {word: [one for one in ids if deleting.verdicts[one] == word] for word in (_DELETED, _MISSING)}
        if len(outcome[_MISSING]) == len(ids):
            log.warning("None of the documents was there. Project %r is; are the ids of another one?", hook.project_id)
        if outcome[_MISSING] and not ignored:
            if not unsure:
                raise _not_there(outcome[_MISSING], hook.cloudindex_conn_id, hook.project_id)
            log.warning("They are taken to be deleted by an earlier try, which without a state isn't remembered.")
        return outcome

    def _defer_until(self, seconds: float | None) -> None:
        deferrable = self.deferrable
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        if deferrable and seconds is not None:
            wait = timedelta(seconds=max(seconds, _SHORTEST_DEFERRAL))
            self.defer(trigger=TimeDeltaTrigger(wait), method_name="execute_complete", timeout=wait + _MARGIN)


class _Deleting:
    """The deletes of one try. ``verdicts``: id -> what became of it, in whichever try."""

    def __init__(self, deletes: Deletes, memory: Memory) -> None:
        self.verdicts: dict[str, str] = {}
        self._deletes = deletes
        self._memory = memory
        self._known = memory.known()

    def delete(self, ids: Sequence[str]) -> None:
        """Delete those that no earlier try has deleted; what was missing then is asked for once more, at the end."""
        before = {one: self._known[one].outcome for one in ids if one in self._known}
        self.verdicts = {one: _DELETED for one, outcome in before.items() if outcome == _DELETED}
        left = [one for one in ids if one not in self.verdicts]
        for one in sorted(left, key=lambda one: before.get(one) == _MISSING):
            with self._deletes.of(one):
                self.verdicts[one] = self._delete(one)
        self._deletes.raise_first()

    def summary(self) -> str:
        words = list(self.verdicts.values())
        return f"{words.count(_DELETED)} are deleted and {words.count(_MISSING)} were not there,"

    def _delete(self, document_id: str) -> str:
        asked = 0

        def at_turn() -> None:
            nonlocal asked
            asked += 1
            self._memory.begin([document_id])

        try:
            deleted = self._deletes.delete(document_id, at_turn)
        except CloudIndexError as error:
            if asked == 1 and not error.outcome_unknown and document_id not in self._known:
                self._memory.withdraw([document_id])
            raise
        # What an unanswered request of ours may have deleted isn't missing.
        unanswered = asked > 1 or (document_id in self._known and self._known[document_id].outcome is None)
        verdict = _DELETED if deleted or unanswered else _MISSING
        self._memory.record({document_id: verdict})
        return verdict


def _not_there(missing: Sequence[str], conn_id: str, project_id: str) -> NotFoundError:
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    message = f"connection {conn_id!r}: project {project_id!r} has no document {', '.join(missing[:_SHOWN])}{more}."
    return NotFoundError(message, status=404, hint="Correct document_ids or project_id.")
