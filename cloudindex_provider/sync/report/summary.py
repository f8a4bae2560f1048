"""A run in one paragraph, for whoever is notified: what came of it, and first what a person must do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cloudindex_provider.sync.report.estimate import Estimate
from cloudindex_provider.words import count, plain, quoted, shortened, verb

__all__ = ["Problem", "Reported", "summary", "things_to_do"]

_LONGEST = 400  # characters of a reason
_OPEN = ("failed", "quarantined", "deferred", "gone", "elsewhere", "held", "kept", "stale")  # what isn't in step
# What of the counts a paragraph names, in which words.
_DONE = (
    ("uploaded", "document uploaded", "documents uploaded"),
    ("adopted", "document adopted", "documents adopted"),
    ("indexed", "key in step by now", "keys in step by now"),
    ("deleted", "key's documents deleted", "keys' documents deleted"),
    ("failed", "failed", "failed"),
    ("quarantined", "quarantined", "quarantined"),
    ("held", "delete held", "deletes held"),
    ("kept", "removed key that keeps its document", "removed keys that keep their documents"),
    ("deferred", "left to the next run", "left to the next run"),
    ("gone", "changed in S3 meanwhile", "changed in S3 meanwhile"),
    ("elsewhere", "worked on elsewhere", "worked on elsewhere"),
    ("stale", "served in an older version", "served in an older version"),
    ("unchanged", "unchanged", "unchanged"),
    ("skipped", "skipped", "skipped"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a run is red.

    :param kind: the error's type
    :param hint: what to do about it
    :param task: the task that had it, where it is another one than the report's
    """

    kind: str
    message: str
    hint: str = ""
    task: str | None = None


class Reported(Protocol):
    """What a summary needs of a report."""

    @property
    def where(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def failures(self) -> list[dict[str, str | None]]: ...
    @property
    def quarantined(self) -> list[dict[str, str | None]]: ...
    @property
    def overlaps(self) -> list[Any]: ...
    @property
    def problems(self) -> list[Problem]: ...
    @property
    def held_reason(self) -> str | None: ...
    @property
    def held_remedy(self) -> str | None: ...
    @property
    def source_id(self) -> int | None: ...
    @property
    def dry_run(self) -> bool: ...
    @property
    def named(self) -> int | None: ...
    @property
    def left(self) -> Estimate: ...
    @property
    def page_url(self) -> str | None: ...


def things_to_do(report: Reported) -> list[str]:
    """What a person must do, a sentence or two each, the most urgent first; empty: nothing."""
    return list(_things(report))


def _things(report: Reported) -> Iterator[str]:
    counts = report.counts
    for one in report.problems:
        if one.kind == "SyncFailedError" and (report.failures or len(report.problems) > 1):
            continue  # those are why, and are said with more
        if one.kind == "DeletesHeldError" and report.held_remedy:
            continue  # as are these, below
        where = f"{one.task}: " if one.task else ""
        yield shortened(f"{where}{one.message} {one.hint}".strip(), _LONGEST * 2)
    if counts.get("held") and report.held_remedy:
        deletes = count(counts["held"], "delete is", "deletes are")
        yield f"{deletes} held: {plain(report.held_reason or '')}. {report.held_remedy}"
    if report.failures and (number := counts.get("failed", 0)):
        yield f"{count(number, 'key has', 'keys have')} failed. {_first(report.failures)} The next run tries again."
    if report.quarantined and (number := counts.get("quarantined", 0)):
        yield (
            f"{count(number, 'key is', 'keys are')} set aside after failing again and again."
            f" {_first(report.quarantined)}"
            f" Mend the object, or `airflow cloudindex retry --source {report.source_id} --all-quarantined`."
        )
    for overlap in report.overlaps:
        it = "it" if overlap.keys == 1 else "them"
        yield f"{count(overlap.keys, 'key is', 'keys are')} skipped because another sync has {it}. {overlap.remedy}"


def _first(rows: list[dict[str, str | None]]) -> str:
    reason = shortened(str(rows[0]["reason"]), _LONGEST)
    return f"The first is {quoted(str(rows[0]['key']))}: {reason}{'' if reason.endswith('.') else '.'}"


def summary(report: Reported) -> str:
    """The paragraph."""
    return " ".join(part for part in (_headline(report), _next(report), _numbers(report), _link(report)) if part)


def _headline(report: Reported) -> str:
    project = f"CloudIndex project {report.project_id}" if report.project_id else "CloudIndex"
    where = f"{report.where} to {project}"
    if report.problems:
        return f"The {'dry run' if report.dry_run else 'sync'} of {where} failed."
    if report.dry_run:
        return f"Dry run of {where}."
    if any(report.counts.get(name) for name in _OPEN):
        return f"The sync of {where} is done, and some keys are out of step."
    if report.named is not None:
        what = f"{count(report.named, 'named key')} of {report.where} {verb(report.named)}"
        return f"{what} in step with {project}; the run was about no other." if report.named else "No key was named."
    return f"{report.where} is in step with {project}."


def _next(report: Reported) -> str:
    found = things_to_do(report)
    if not found:
        return " ".join(shortened(one.message, _LONGEST) for one in report.problems[:1])
    more = f" {count(len(found) - 1, 'more thing', 'more things')} to do: see the log." if len(found) > 1 else ""
    return f"First: {found[0]}{more}"


def _numbers(report: Reported) -> str:
    counts = report.counts
    if report.dry_run and not report.problems:
        would = (counts.get("deferred", 0), counts.get("removed", 0))
        return f"It would upload {count(would[0], 'document')} and find {count(would[1], 'key')} removed."
    if not counts.get("listed") and not any(counts.values()):
        return ""
    done = [count(counts[name], one, more) for name, one, more in _DONE if counts.get(name)]
    what = count(counts.get("listed", 0), "object") if report.named is None else count(report.named, "key")
    text = f"Of {what}: {', '.join(done) or 'nothing to do'}."
    if report.left.documents:
        time = report.left.time()
        text += f" Still to upload: {count(report.left.documents, 'document')}{f', {time}' if time else ''}."
    return text


def _link(report: Reported) -> str:
    return report.page_url or ""
