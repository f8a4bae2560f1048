"""A metric is declared once; the guide, the dashboard and the client's operations name those and no others."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.api import build
from cloudindex_provider.sync.metrics import METRICS, Kind

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
DASHBOARD = ROOT / "docs/grafana/cloudindex.json"
KINDS = {one.name: one.kind for one in METRICS}
# As the StatsD exporter names them: dots are underscores.
EXPORTED = {one.name.replace(".", "_"): one.kind for one in METRICS}


def expressions(dashboard: dict[str, Any]) -> list[str]:
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return found + [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]


def test_the_guide_s_table_is_the_declaration() -> None:
    rows = re.findall(r"^\| `(cloudindex[\w.]+)` \| (\w+) \| (.+) \|$", GUIDE, re.MULTILINE)
    assert rows == [(one.name, str(one.kind), one.meaning) for one in METRICS]


def test_every_operation_of_the_client_has_its_timer() -> None:
    """Named by its calls in ``api.build``."""
    operations = re.findall(r'Call\(\s*"([^"]+)"', inspect.getsource(build))
    assert len(operations) >= 7
    timed = {name for name, kind in KINDS.items() if kind is Kind.TIMER}
    assert {f"cloudindex.request.{one.replace(' ', '_')}" for one in operations} <= timed


@pytest.mark.parametrize("one", METRICS, ids=lambda one: one.name)
def test_a_name_is_one_that_every_monitoring_system_takes(one: Any) -> None:
    """Graphite can't hold a value where it has a folder; OpenTelemetry takes 255 characters with Airflow's prefix."""
    assert re.fullmatch(r"cloudindex(\.[a-z][a-z0-9_]*){1,2}", one.name)
    assert one.meaning
    assert not [other for other in KINDS if other.startswith(f"{one.name}.")]


def test_names_differ() -> None:
    assert len(EXPORTED) == len(METRICS)


def test_the_dashboard_shows_nothing_that_isn_t_told_and_reads_each_as_what_it_is() -> None:
    """A counter by its increase, a timer by its sum and count, a gauge as it is."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    used = set()
    for expression in expressions(dashboard):
        names = re.findall(r"\$\{prefix\}_(\w+?)(_sum|_count|\$\{counter\})?(?=[{,)\[])", expression)
        assert names, expression
        for name, suffix in names:
            kind = {"_sum": Kind.TIMER, "_count": Kind.TIMER, "${counter}": Kind.COUNTER, "": Kind.GAUGE}[suffix]
            assert EXPORTED.get(name) is kind, f"{name} in {expression}"
            used.add(name)
    assert {"cloudindex_backlog", "cloudindex_lag_p95", "cloudindex_documents_failed"} <= used


def test_the_dashboard_can_be_imported() -> None:
    """What Grafana needs of one: ids that differ, places that don't overlap, and variables that are defined."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert dashboard["schemaVersion"]
    panels = dashboard["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (one["gridPos"] for one in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    defined = {one["name"] for one in dashboard["templating"]["list"]}
    named = set(re.findall(r"\$\{?([a-z]\w*)", " ".join(expressions(dashboard))))
    assert named <= defined
