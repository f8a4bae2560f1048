"""Whatever happens in whatever order, nothing is lost, nothing is left double, and calm brings agreement."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.support.machine import SyncMachine

EXAMPLES = int(os.environ.get("SYNC_MACHINE_EXAMPLES", "18"))

SyncMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=16,
    deadline=None,
    derandomize="SYNC_MACHINE_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
TestSyncMachine = SyncMachine.TestCase
