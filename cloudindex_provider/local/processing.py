"""The background thread that turns pending uploads into searchable chunks.

Everything it has to do is in the store's ``jobs`` table, so a stopped server's work goes on at the next start. While a
new version is processed, the chunks of the version before stay searchable; a failed version leaves them too.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass

from cloudindex_provider.local.extract import ExtractionError, chunks, extract
from cloudindex_provider.local.settings import Settings
from cloudindex_provider.local.store import Store, timestamp

__all__ = ["Processor"]

_BATCH = 50  # jobs per transaction: a commit per document would cost more than the work
_SLICE = 0.1  # seconds of work per transaction: one slow PDF must not hide what is done
_TICK = 0.02  # seconds between looks at jobs that aren't due yet; settings may change meanwhile


@dataclass(frozen=True, slots=True)
class _Outcome:
    job: sqlite3.Row
    chunks: list[str]
    error: str | None
    milliseconds: int


class Processor:
    """One thread per server."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="cloudindex-processing", daemon=True)

    def start(self) -> None:
        """Begin with what the last run left open."""
        self._thread.start()

    def notify(self) -> None:
        """Say that there are new jobs."""
        self._wake.set()

    def stop(self) -> None:
        """End after the document in hand; the rest waits for the next start."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            open_jobs, done = self.step()
            if not done:
                self._wake.wait(_TICK if open_jobs else None)

    def step(self) -> tuple[int, int]:
        """Begin and finish what is due; how many jobs were open, and how many are done now."""
        jobs = self._open_jobs()
        now = time.time()
        delay = self._settings.processing_delay
        fresh = [job for job in jobs if job["status"] == "pending" and job["created"] + delay / 2 <= now]
        if fresh:
            self._begin(fresh)
        outcomes = []
        for job in jobs:
            if self._stopping or time.time() - now > _SLICE:
                break
            if job["created"] + delay <= now:
                outcomes.append(self._work(job))
        if outcomes:
            self._finish(outcomes)
        return len(jobs), len(outcomes)

    def _open_jobs(self) -> list[sqlite3.Row]:
        with self._store.read() as db:
            return db.execute(
                "SELECT jobs.*, documents.file_name, versions.blob FROM jobs"
                " JOIN documents ON documents.id = jobs.document_id"
                " JOIN versions ON versions.document_id = jobs.document_id AND versions.version = jobs.version"
                " WHERE jobs.status IN ('pending', 'processing') ORDER BY jobs.seq LIMIT ?",
                (_BATCH,),
            ).fetchall()

    def _begin(self, jobs: list[sqlite3.Row]) -> None:
        now = timestamp()
        with self._store.write() as db:
            for job in jobs:
                db.execute("UPDATE jobs SET status = 'processing', started_at = ? WHERE id = ?", (now, job["id"]))
                db.execute(
                    "UPDATE documents SET status = 'processing', started_at = ? WHERE id = ? AND version = ?",
                    (now, job["document_id"], job["version"]),
                )

    def _work(self, job: sqlite3.Row) -> _Outcome:
        began = time.perf_counter()
        pieces: list[str] = []
        error = None
        try:
            if any(part in job["file_name"] for part in self._settings.fail_processing):
                raise ExtractionError("Processing failed as the settings demand")
            pieces = chunks(extract(self._store.blob(job["blob"]), job["file_name"]))
        except FileNotFoundError:
            error = "The document was deleted while it was processed"  # its rows are gone: nobody will read this
        except ExtractionError as exc:
            error = str(exc)
        return _Outcome(job, pieces, error, round((time.perf_counter() - began) * 1000))

    def _finish(self, outcomes: list[_Outcome]) -> None:
        now = timestamp()
        with self._store.write() as db:
            for outcome in outcomes:
                _record(db, outcome, now)


def _record(db: sqlite3.Connection, outcome: _Outcome, now: str) -> None:
    job = outcome.job
    count = len(outcome.chunks)
    ended = db.execute(
        "UPDATE jobs SET status = ?, completed_at = ?, error = ?, chunk_count = ? WHERE id = ?",
        ("failed" if outcome.error else "completed", now, outcome.error, count, job["id"]),
    )
    if not ended.rowcount:
        return  # deleted meanwhile
    if outcome.error is None:
        db.execute("DELETE FROM chunks WHERE document_id = ?", (job["document_id"],))
        db.executemany(
            "INSERT INTO chunks (id, document_id, text) VALUES (?, ?, ?)",
            [(str(uuid.uuid4()), job["document_id"], piece) for piece in outcome.chunks],
        )
    db.execute(
        "UPDATE documents SET status = ?, completed_at = ?, error = ?, processing_ms = ?, chunk_count = ?,"
        " modified_at = ? WHERE id = ? AND version = ?",  # a newer version speaks for itself
        (
            "failed" if outcome.error else "processed",
            now,
            outcome.error,
            outcome.milliseconds,
            None if outcome.error else count,
            now,
            job["document_id"],
            job["version"],
        ),
    )
