"""What a Celery deployment has to show: a sync spreads over workers, survives the kill of one, and refuses SQLite."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cloudindex_provider.local.faults import Fault
from programs.celery.deployment import HEARTBEAT_TIMEOUT, WORKERS, CeleryAirflow
from programs.celery.processes import waiting_for
from tests.support.mirror import Mirror

__all__ = ["FailedProofError", "Proofs"]

SYNC, REFUSED = "scale_out", "state_on_one_disk"
GROUP = "s3_to_cloudindex"
UPLOADS = f"{GROUP}.upload_documents"
TASKS = 4  # mapped upload tasks
OBJECTS = 320  # of the first batch; 20 go into a request
CHANGED, ADDED, REMOVED = 200, 100, 40  # the second batch
_RUN_SECONDS = 300.0


class FailedProofError(AssertionError):
    """Something isn't as it should be."""


def check(holds: object, what: str) -> None:
    """:raises FailedProofError: when it doesn't hold"""
    if not holds:
        raise FailedProofError(what)


@dataclass
class Kill:
    """What was killed."""

    worker: str
    processes: int
    sending: dict[int, int]  # map index -> documents that it was sending
    at: datetime


class Proofs:
    """The proofs, in their order; each gives one line with what it found."""

    def __init__(self, airflow: CeleryAirflow, mirror: Mirror) -> None:
        self.airflow = airflow
        self.mirror = mirror

    def spreads(self) -> str:
        """A first sync runs upload tasks on every worker and ends with every object exactly once in the index."""
        began = time.monotonic()
        self.mirror.put_many(OBJECTS)
        self._slow_uploads(1.0)  # so that the first tasks haven't done all of it before the last ones start
        run_id = self._run()
        check(self._wait(run_id) == "success", "the first sync failed")
        self.mirror.cloud.faults.clear()
        where = Counter(row["hostname"] for row in self._upload_tasks(run_id))
        check(len(where) == 2 and where.total() == TASKS, f"the upload tasks ran on {dict(where)}")
        report = self._report(run_id, new=OBJECTS, uploaded=OBJECTS, indexed=OBJECTS)
        self._check_no_shared_disk()
        return (
            f"a sync spreads over workers: {OBJECTS} objects by {TASKS} upload tasks, {_shown(where)};"
            f" {self._agreement()}; {report['requests']} requests, {time.monotonic() - began:.0f} s"
        )

    def survives_a_kill(self) -> str:
        """A worker is killed in the middle of its requests; the other one takes over, and everything agrees."""
        began, uploads = time.monotonic(), self.mirror.uploads
        self.mirror.put_many(ADDED, start=OBJECTS)
        for number in range(CHANGED):
            self.mirror.put(f"{number:04d}.txt", f"document number {number}, changed")
        self.mirror.remove(*(f"{number:04d}.txt" for number in range(OBJECTS - REMOVED, OBJECTS)))
        self._slow_uploads(4.0)
        run_id = self._run()
        kill = self._kill_in_the_middle(run_id)
        check(self._wait(run_id) == "success", "the sync whose worker was killed failed")
        green = (datetime.now(UTC) - kill.at).total_seconds()
        self.mirror.cloud.faults.clear()
        taken = self._taken_over(run_id, kill)
        counts = {"new": ADDED, "changed": CHANGED, "indexed": ADDED + CHANGED, "removed": REMOVED, "deleted": REMOVED}
        adopted = self._report(run_id, **counts)["adopted"]
        redundant = self.mirror.uploads - uploads - ADDED - CHANGED
        check(redundant == 0, f"{redundant} documents were uploaded twice")
        return (
            f"a sync survives the kill of a worker: {kill.worker} with {kill.processes} processes killed while"
            f" {len(kill.sending)} upload tasks sent {sum(kill.sending.values())} documents; next tries {taken}"
            f" (heartbeat timeout {HEARTBEAT_TIMEOUT} s), the run green after {green:.0f} s; {self._agreement()};"
            f" {adopted} documents adopted, {redundant} uploaded twice, {time.monotonic() - began:.0f} s"
        )

    def finds_nothing_left(self) -> str:
        """The run after that finds nothing to do, on the worker that is left."""
        began, uploads = time.monotonic(), self.mirror.uploads
        run_id = self._run()
        check(self._wait(run_id) == "success", "the sync that had nothing to do failed")
        kept = OBJECTS + ADDED - REMOVED
        self._report(run_id, unchanged=kept, uploaded=0, deleted=0, requests=0)
        check(self.mirror.uploads == uploads, "the sync that had nothing to do uploaded something")
        return f"the next sync has nothing left to do: {kept} unchanged, 0 requests, {time.monotonic() - began:.0f} s"

    def refuses_sqlite(self) -> str:
        """A state on one machine's disk fails its task at once, with one sentence."""
        began = time.monotonic()
        self.airflow.await_dag(REFUSED)
        run_id = self.airflow.trigger(REFUSED, {"bucket": self.mirror.bucket})
        check(self.airflow.await_run(REFUSED, run_id, 120) == "failed", "SQLite wasn't refused")
        (task,) = self.airflow.task_instances(REFUSED, run_id)
        check(task["try_number"] == 1, f"SQLite was refused only after {task['try_number']} tries")
        sentence = "and CeleryExecutor may run them on several."
        check(sentence in self.airflow.log_on_worker(task["hostname"], run_id), "the log doesn't say why")
        return f"SQLite is refused under Celery: “{sentence}”, 1 try, {time.monotonic() - began:.0f} s"

    # Parts

    def _slow_uploads(self, seconds: float) -> None:
        self.mirror.cloud.faults.add(Fault(operation="upload", kind="delay", delay=seconds, times=None))

    def _run(self) -> str:
        self.airflow.await_dag(SYNC)
        return self.airflow.trigger(SYNC, {"bucket": self.mirror.bucket})

    def _wait(self, run_id: str) -> str:
        return self.airflow.await_run(SYNC, run_id, _RUN_SECONDS)

    def _upload_tasks(self, run_id: str) -> list[dict[str, Any]]:
        return [row for row in self.airflow.task_instances(SYNC, run_id) if row["task_id"] == UPLOADS]

    def _report(self, run_id: str, **expected: int) -> dict[str, Any]:
        """The run's report; its counts must balance and be these."""
        report: dict[str, Any] = self.airflow.xcom(SYNC, run_id, f"{GROUP}.report")
        found = {name: report[name] for name in expected}
        check(found == expected, f"the report has {found} instead of {expected}")
        check(report["imbalance"] is None, str(report["imbalance"]))
        return report

    def _check_no_shared_disk(self) -> None:
        """Every worker has logs of its own tasks, and none has a state on its disk."""
        for worker in WORKERS:
            home = self.airflow.folder / worker
            check(any(home.glob("logs/**/*.log")), f"{worker} has no logs of its own")
            check(not list(home.glob("**/state.db*")), f"{worker} has a state on its disk")

    def _agreement(self) -> str:
        """Ask S3, state and index; what they agree on."""
        self.mirror.assert_agreement()
        return f"{len(self.mirror.objects())} objects, 0 missing, 0 double, 0 stale"

    def _sending(self, run_id: str) -> dict[int, int]:
        """Map index -> documents that the state says are being sent by it."""
        found: Counter[int] = Counter()
        rows = self.mirror.execute("SELECT claim_owner FROM object WHERE status = 'uploading'")
        for (owner,) in rows:
            dag_id, run, task, index = str(owner).partition("#")[0].split("|")
            if (dag_id, run, task) == (SYNC, run_id, UPLOADS):
                found[int(index)] += 1
        return dict(found)

    def _kill_in_the_middle(self, run_id: str) -> Kill:
        """Kill a worker as soon as every upload task waits for the answer to its request."""
        fired = self.mirror.cloud.faults.fired
        waiting_for(
            f"{TASKS} requests are under way",
            lambda: self.mirror.cloud.faults.fired - fired >= TASKS and len(self._sending(run_id)) == TASKS,
            90,
        )
        running = [row for row in self._upload_tasks(run_id) if row["state"] == "running"]
        worker = Counter(row["hostname"] for row in running).most_common(1)[0][0]
        its = [row["map_index"] for row in running if row["hostname"] == worker]
        at = datetime.now(UTC)
        processes = self.airflow.processes.kill(worker)
        kill = Kill(worker, processes, {i: n for i, n in self._sending(run_id).items() if i in its}, at)
        check(kill.sending, f"{worker} wasn't sending anything when it was killed")
        return kill

    def _taken_over(self, run_id: str, kill: Kill) -> str:
        """Where the next tries of the killed tasks ran, and when they began."""
        where: Counter[str] = Counter()
        waits: list[float] = []
        for index in kill.sending:
            tries = self.airflow.tries(SYNC, run_id, UPLOADS, index)
            check(tries[0]["hostname"] == kill.worker, f"try 1 of upload task {index} was on {tries[0]['hostname']}")
            check(len(tries) > 1, f"upload task {index} had no second try")
            where[tries[-1]["hostname"]] += 1
            waits.append((datetime.fromisoformat(tries[1]["start_date"]) - kill.at).total_seconds())
        check(kill.worker not in where, f"{kill.worker} came back")
        return f"{_shown(where)} after {min(waits):.0f} to {max(waits):.0f} s"


def _shown(where: Counter[str]) -> str:
    return " and ".join(f"{number} on {name}" for name, number in sorted(where.items()))
