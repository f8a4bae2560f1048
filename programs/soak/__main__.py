"""Everything that takes minutes: kills, the state machine with many examples, and events beside full runs and by the
thousand.

    python -m programs.soak --kills 200 --examples 300 --rounds 50 --seconds 300 --seed 1
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time

from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from programs.soak import crash, event_stream, side_by_side
from programs.soak.crash_events import EventsCrashTest
from tests.support.machine import SyncMachine


def main() -> int:
    """Run by ``make soak``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=50, help="of an event run beside a full run")
    parser.add_argument("--seconds", type=float, default=300.0, help="of a hundred events a second")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    failed = False
    for hashes in (True, False):
        figures = crash.soak(options.kills if hashes else max(1, options.kills // 4), options.seed, hashes=hashes)
        failed = failed or bool(figures.wrong or figures.redundant_with_hash)
    figures = crash.soak(options.kills // 2, options.seed, kind=EventsCrashTest)
    failed = failed or bool(figures.wrong)
    failed = bool(side_by_side.soak(options.rounds, options.seed)) or failed
    failed = bool(event_stream.soak(options.seconds, seed=options.seed)) or failed
    logging.getLogger("cloudindex_provider.sync").setLevel(logging.CRITICAL)
    began = time.monotonic()
    profile = settings(
        max_examples=options.examples, stateful_step_count=25, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip
    run_state_machine_as_test(seeded(options.seed)(SyncMachine), settings=profile)
    print(f"The state machine held over {options.examples} examples, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
