"""The money protocol, in every state that small worlds can reach: what is promised holds, each guard is needed, and
what is not promised is known to fail. docs/MODEL.md says what is modelled.
"""

from dataclasses import replace

import pytest

from tests.support.model import promises
from tests.support.model.__main__ import main
from tests.support.model.explorer import Check
from tests.support.model.money import ALONE, CROWD, QUICK, check
from tests.support.model.promises import in_words, promises_under
from tests.support.model.state import PLANNED, Setup, State

TWO = Setup()


def name_of(setup: Setup) -> str:
    happens = [f"{name}-{times}" for name, times in setup.faults._asdict().items() if times]
    return "-".join([str(len(setup.wants)), *happens])


@pytest.mark.parametrize("setup", QUICK, ids=name_of)
def test_what_is_promised_holds_in_every_state(setup: Setup) -> None:
    seen = check(setup)
    assert seen.fault is None, str(seen.fault)
    assert seen.is_complete
    assert seen.resting > 0


# A guard, a world in which it is missed, and what breaks without it.
GUARDS: dict[str, tuple[Setup, Check[State]]] = {
    "recover_only_lapsed": (TWO, promises.nothing_is_recovered),
    "recover_after_grace": (TWO.having(away=1), promises.what_is_promised_is_there),
    "recover_what_was_seen": (
        ALONE.having(pauses=1, slow_recoveries=1, proxy_kills=1),
        promises.killed_is_billed_to_its_checkpoint,
    ),
    "recovery_may_grow": (ALONE.having(pauses=1, proxy_kills=1), promises.killed_is_billed_to_its_checkpoint),
    "renewal_places_again": (ALONE.having(pauses=1, proxy_kills=1), promises.killed_is_billed_to_its_checkpoint),
    "truth_corrects": (ALONE.having(pauses=1), promises.finished_is_billed_in_full),
    "post_once": (ALONE.having(writer_crashes=1), promises.debited_at_most_once),
    "post_clamped": (TWO.having(overruns=1), promises.never_below_the_floor),
    "posts_by_room": (replace(TWO, wants=(2,)).having(lost_answers=1), promises.only_an_empty_wallet_pays_less),
    "hold_is_collectable": (CROWD, promises.nothing_is_uncollected),
    "acknowledge_once": (TWO.having(claims=1), promises.unposted_is_the_sum_of_the_stream),
    "newer_version_only": (CROWD, promises.what_is_promised_is_there),
    "sends_again": (ALONE.having(redis_kills=1), promises.finished_is_billed_in_full),
    "replays_are_remembered": (ALONE.having(redis_kills=1, away=1), promises.finished_is_billed_in_full),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_without_its_guard_a_promise_breaks(guard: str) -> None:
    setup, promise = GUARDS[guard]
    assert check(setup, [promise]).fault is None
    seen = check(replace(setup, rules=replace(setup.rules, **{guard: False})), [promise])
    assert seen.fault is not None
    assert seen.fault.broken == in_words(promise)


def test_every_guard_is_tried_but_the_one_that_only_saves_room() -> None:
    """Redis notes no more as unposted than there is. Without that it would refuse more, and no promise would break."""
    assert {*GUARDS, "charge_clamped"} == set(vars(TWO.rules))
    for setup in (TWO.having(lost_answers=1), CROWD.having(overruns=1), TWO.having(pauses=1)):
        seen = check(replace(setup, rules=replace(setup.rules, charge_clamped=False)))
        assert seen.is_complete
        assert seen.fault is None


# What is not promised, because it cannot be: that it fails there shows that the promises are drawn where they end.
LIMITS: list[tuple[Setup, Check[State]]] = [
    (TWO.having(pauses=1), promises.nothing_is_uncollected),
    (TWO.having(edits=1), promises.nothing_is_uncollected),
    (TWO.having(overruns=1), promises.nothing_is_uncollected),
    (TWO.having(away=1, proxy_kills=1), promises.nothing_is_uncollected),
    (ALONE.having(late_renewals=1), promises.nothing_is_recovered),
    (ALONE.having(proxy_kills=1), promises.nothing_is_recovered),
    (ALONE.having(redis_emptied=1), promises.finished_is_billed_in_full),
    (ALONE.having(redis_kills=1, proxy_kills=1), promises.finished_is_billed_in_full),
    (ALONE.having(redis_kills=1, proxy_kills=1), promises.killed_is_billed_to_its_checkpoint),
]


@pytest.mark.parametrize(("setup", "promise"), LIMITS, ids=[f"{name_of(s)}-{p.__name__}" for s, p in LIMITS])
def test_where_a_promise_ends(setup: Setup, promise: Check[State]) -> None:
    assert promise not in promises_under(setup.faults)
    seen = check(setup, [promise])
    assert seen.fault is not None
    assert seen.fault.broken == in_words(promise)


def test_the_first_plan_would_have_lost_money_with_nothing_going_wrong() -> None:
    seen = check(replace(CROWD, rules=PLANNED))
    assert seen.fault is not None


def test_the_command_tells_what_was_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--requests", "1", "--faults", "proxy_kills=1,claims=1"]) == 0
    said = capsys.readouterr().out
    assert "| 1 | proxy_kills 1, claims 1 | finished is billed in full;" in said
    assert said.splitlines()[-1].startswith("1 worlds, ")
