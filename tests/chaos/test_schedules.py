"""Faults of every kind from two dozen seeds, under load. `make chaos ARGS="--schedules 300"` plays hundreds.

FAREBOX_CHAOS_SEED=123 pytest tests/chaos/test_schedules.py plays that one seed.
"""

import os

import pytest

from tests.support.chaos.report import failure
from tests.support.chaos.rig import Rig
from tests.support.chaos.run import play
from tests.support.chaos.schedule import make_schedule

pytestmark = pytest.mark.asyncio(loop_scope="module")
SEEDS = [int(os.environ["FAREBOX_CHAOS_SEED"])] if "FAREBOX_CHAOS_SEED" in os.environ else range(1, 25)


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_fails_everybody_is_billed_once_and_nothing_is_lost_beyond_the_bound(
    rig: Rig, seed: int
) -> None:
    outcome = await play(rig, make_schedule(seed, rig.topology))
    assert outcome.facts.receipts
    if not outcome.verdict.holds:
        again = f"FAREBOX_CHAOS_SEED={seed} pytest tests/chaos/test_schedules.py"
        pytest.fail(failure(outcome, again), pytrace=False)
    assert any(receipt.is_complete for receipt in outcome.facts.receipts), "nobody was served: this proves nothing"
