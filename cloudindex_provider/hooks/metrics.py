"""Metrics through Airflow's own: StatsD, Datadog or OpenTelemetry, as ``[metrics]`` says. Nothing where that is off.

The module has been at this place since Airflow 3.2; a task's process sets it up before the task runs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk.configuration import conf
from airflow.sdk.observability.stats import Stats

from cloudindex_provider.sync.metrics import Metrics

__all__ = ["AirflowMetrics", "airflow_metrics"]

log = logging.getLogger("cloudindex_provider.metrics")
_SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")
_ODD = re.compile(r"[^A-Za-z0-9_./-]+")  # what StatsD, InfluxDB's tags and Airflow's own check don't take
_LONGEST_TAG = 100
_told: set[str] = set()


def airflow_metrics(**tags: str) -> Metrics | None:
    """Where metrics go, or ``None`` where Airflow sends none, so that nobody works for them.

    :param tags: written with every value, as far as monitoring systems can hold them
    """
    if not any(conf.getboolean("metrics", name, fallback=False) for name in _SWITCHES):
        return None
    return AirflowMetrics({name: _ODD.sub("_", value)[:_LONGEST_TAG] for name, value in tags.items() if value})


class AirflowMetrics:
    """``sync.metrics.Metrics`` by Airflow's ``Stats``."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        self._tags = dict(tags)

    def count(self, name: str, value: int) -> None:
        self._send(Stats.incr, name, value)

    def gauge(self, name: str, value: float) -> None:
        self._send(Stats.gauge, name, value)

    def timing(self, name: str, seconds: float) -> None:
        self._send(Stats.timing, name, seconds * 1000.0)

    def _send(self, send: Callable[..., Any], name: str, value: float) -> None:
        try:
            send(name, value, tags=self._tags)
        except Exception as error:  # noqa: BLE001 - of whatever backend: documents are worth more than their number
            _tell_once(f"{type(error).__name__}: {error}")


def _tell_once(problem: str) -> None:
    """Once in each process."""
    if problem not in _told:
        _told.add(problem)
        log.warning("Metrics can't be sent: %s", problem)
