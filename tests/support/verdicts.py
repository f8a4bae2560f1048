"""Whether a report may pass for a success, as a test asks it: an error, or nothing."""

from __future__ import annotations

from cloudindex_provider.sync.report.report import SyncReport, failure

__all__ = ["judge"]


def judge(report: SyncReport, *, max_failed_documents: int) -> None:
    """Raise what the run's task would raise.

    :raises SyncFailedError: when more documents failed in this run than allowed
    """
    error = failure(report, max_failed_documents=max_failed_documents)
    if error is not None:
        raise error
