"""The body of ``POST /query``: checked against query.yaml, with its defaults filled in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cloudindex_provider.local.errors import Refusal

__all__ = ["Query", "parse_query"]

_TYPES = frozenset({"pdf", "txt", "md", "mdx", "doc", "docx"})
_PRESETS = frozenset({"general", "business", "technical", "financial", "scientific", "custom"})
_MAX_QUERY = 1000  # characters


@dataclass(frozen=True, slots=True)
class Query:
    """A valid query; empty filters filter nothing. Dates are UTC ISO strings as the store writes them."""

    text: str
    document_ids: tuple[str, ...]
    types: tuple[str, ...]
    since: str | None
    until: str | None
    top_k: int
    limit: int
    threshold: float
    reranking: bool
    reranking_top_n: int
    reranking_threshold: float
    include_metadata: bool


def parse_query(body: object) -> Query:
    """Raises ``Refusal`` 400 that lists every invalid field."""
    if not isinstance(body, dict):
        raise _refuse([{"field": "", "message": "Must be a JSON object"}])
    check = _Checker()
    text = body.get("query")
    if not isinstance(text, str) or not 1 <= len(text) <= _MAX_QUERY:
        check.wrong("query", f"Must be a string of 1 to {_MAX_QUERY} characters")
    filters = check.object(body, "filters")
    dates = check.object(filters, "dateRange", "filters.")
    options = check.object(body, "options")
    top_k = check.number(options, "similarityTopK", 10, 1, 100, whole=True)
    top_n = check.number(options, "rerankingTopN", min(top_k, 100), 1, 100, whole=True)
    if "rerankingTopN" in options and "similarityTopK" in options and top_n > top_k:
        check.wrong("options.rerankingTopN", "Cannot exceed similarityTopK value")
    check.number(options, "alpha", 0.75, 0.01, 1)
    if options.get("preset", "general") not in _PRESETS:
        check.wrong("options.preset", f"Must be one of {', '.join(sorted(_PRESETS))}")
    query = Query(
        text=str(text),
        document_ids=check.strings(filters, "documentIds", None),
        types=check.strings(filters, "types", _TYPES),
        since=check.date(dates, "from"),
        until=check.date(dates, "to"),
        top_k=int(top_k),
        limit=int(check.number(options, "limit", 10, 1, 100, whole=True)),
        threshold=check.number(options, "threshold", 0.0, 0, 1),
        reranking=check.flag(options, "rerankingEnabled"),
        reranking_top_n=int(top_n),
        reranking_threshold=check.number(options, "rerankingThreshold", 0.2, 0, 1),
        include_metadata=check.flag(options, "includeMetadata"),
    )
    if check.errors:
        raise _refuse(check.errors)
    return query


def _refuse(errors: list[dict[str, str]]) -> Refusal:
    return Refusal(
        400, "validation/invalid-input", "Invalid input parameters provided", details={"errors": list(errors)}
    )


class _Checker:
    """Collects what is wrong instead of stopping at the first."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []

    def wrong(self, field: str, message: str) -> None:
        self.errors.append({"field": field, "message": message})

    def object(self, parent: dict[str, Any], name: str, prefix: str = "") -> dict[str, Any]:
        value = parent.get(name)
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        self.wrong(prefix + name, "Must be an object")
        return {}

    def number(
        self, options: dict[str, Any], name: str, default: float, low: float, high: float, *, whole: bool = False
    ) -> float:
        value = options.get(name, default)
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            kind = "an integer" if whole else "a number"
            self.wrong(f"options.{name}", f"Must be {kind} from {low} to {high}")
            return default
        return value

    def flag(self, options: dict[str, Any], name: str) -> bool:
        value = options.get(name, False)
        if not isinstance(value, bool):
            self.wrong(f"options.{name}", "Must be true or false")
        return value is True

    def strings(self, filters: dict[str, Any], name: str, allowed: frozenset[str] | None) -> tuple[str, ...]:
        values = filters.get(name) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            self.wrong(f"filters.{name}", "Must be a list of strings")
            return ()
        if allowed is not None and not allowed.issuperset(values):
            self.wrong(f"filters.{name}", f"Must be among {', '.join(sorted(allowed))}")
        return tuple(values)

    def date(self, dates: dict[str, Any], name: str) -> str | None:
        value = dates.get(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            self.wrong(f"filters.dateRange.{name}", "Must be an ISO 8601 date-time")
            return None
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
