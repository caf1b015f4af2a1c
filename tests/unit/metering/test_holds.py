"""What is held, for how much output it is good, and a stream that is played against a wallet."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.money import MAX_NANOS
from metering.estimate.bound import Bound
from metering.holds import HoldPlan, StreamFunds
from tests.support.calls import price

nanos = st.one_of(st.integers(0, 10**6), st.integers(0, MAX_NANOS))
prices = st.builds(
    lambda given, cached, out, reasoning, spoken, fee: price(
        input_nanos_per_1k=given,
        cached_input_nanos_per_1k=cached,
        output_nanos_per_1k=out,
        reasoning_nanos_per_1k=reasoning,
        audio_output_nanos_per_1k=spoken,
        request_fee_nanos=fee,
    ),
    *[st.integers(0, 2_000) | st.integers(0, 10**10)] * 6,
)


@st.composite
def plans(draw: st.DrawFn, *, is_stepwise: bool | None = None, may_lower: bool | None = None) -> HoldPlan:
    """As the desk makes them: each answer may have `limit` tokens, and a prediction that was wrong beside."""
    answers, limit = draw(st.integers(1, 12)), draw(st.integers(1, 20_000))
    output = answers * (limit + draw(st.sampled_from([0, 0, 0, 77])))
    is_spoken = draw(st.booleans())
    bound = Bound(
        input_tokens=draw(st.integers(0, 100_000)),
        output_tokens=0 if is_spoken else output,
        audio_output_tokens=output if is_spoken else 0,
        audio_input_tokens=draw(st.sampled_from([0, 0, 900])),
        images=draw(st.integers(0, 2)),
        audio_ms=draw(st.sampled_from([0, 0, 12_345])),
    )
    return HoldPlan(
        bound,
        draw(prices),
        answers,
        limit,
        least_output=draw(st.just(1) | st.integers(1, limit)),
        is_stepwise=draw(st.booleans()) if is_stepwise is None else is_stepwise,
        may_lower=draw(st.booleans()) if may_lower is None else may_lower,
        step_tokens=draw(st.integers(16, 5_000)),
    )


@given(plans(), nanos)
def test_what_a_hold_pays_for_never_costs_more_than_it(plan: HoldPlan, held: int) -> None:
    held = max(held, plan.nanos_for(0))
    paid = plan.tokens_for(held)
    assert plan.nanos_for(paid or 0) <= held
    if paid is None:
        assert plan.nanos_for(10**9) == plan.nanos_for(0), "output costs nothing"


@given(plans(), nanos)
def test_but_for_less_than_a_nano_dollar_all_of_a_hold_is_used(plan: HoldPlan, held: int) -> None:
    held = max(held, plan.nanos_for(0))
    paid = plan.tokens_for(held)
    assert paid is None or plan.nanos_for(paid + 1) >= held


@given(plans())
def test_a_hold_that_does_not_pay_for_the_prompt_pays_for_no_token(plan: HoldPlan) -> None:
    assert plan.tokens_for(0) in (0, None)


@given(plans())
def test_the_first_hold_is_never_less_than_the_least_nor_more_than_the_worst(plan: HoldPlan) -> None:
    assert plan.least_nanos <= plan.first_nanos <= plan.worst_nanos
    if not (plan.is_stepwise or plan.may_lower):
        assert plan.least_nanos == plan.first_nanos == plan.worst_nanos


def test_a_stream_need_not_be_able_to_pay_for_all_its_thoughts_at_once() -> None:
    """They are what a limit must not be lowered below, and the limit of a stream is not lowered."""
    plan = HoldPlan(Bound(10, 8_000), price(), 1, 8_000, least_output=4_097, may_lower=True, step_tokens=16)
    assert plan.least_nanos == plan.nanos_for(4_097)
    stream = replace(plan, is_stepwise=True)
    assert (stream.least_nanos, stream.first_nanos) == (plan.nanos_for(1), plan.nanos_for(16))


@example(HoldPlan(Bound(10, 300), price(), answers=3, limit=100, may_lower=True), 0.999)
@given(plans(is_stepwise=False, may_lower=True), st.floats(0, 1))
def test_a_lowered_limit_is_the_largest_that_is_paid(plan: HoldPlan, share: float) -> None:
    """At admission such a hold is granted: no less than the least."""
    held = plan.least_nanos + int((plan.worst_nanos - plan.least_nanos) * share)
    lowered = plan.lowered_limit(held)
    if lowered is None:
        assert held == plan.worst_nanos or plan.tokens_for(held) is None
        return
    assert plan.least_output <= lowered <= plan.limit
    rest = plan.all_output - plan.answers * plan.limit
    if plan.nanos_for(plan.answers * lowered + rest) > held:
        # rounding may not take away what admission found to be enough
        assert lowered == plan.least_output and plan.nanos_for(plan.answers * lowered + rest) <= plan.least_nanos
    if lowered < plan.limit:
        assert plan.nanos_for(plan.answers * (lowered + 1) + rest) >= held


def test_a_limit_is_lowered_for_every_answer_alike() -> None:
    plan = HoldPlan(Bound(input_tokens=10, output_tokens=300), price(), answers=3, limit=100, may_lower=True)
    assert plan.lowered_limit(plan.nanos_for(299)) == 99
    assert plan.lowered_limit(plan.nanos_for(150)) == 50
    assert plan.lowered_limit(plan.nanos_for(3)) == 1


@given(plans(is_stepwise=True), nanos)
def test_the_limit_of_a_stream_is_the_clients(plan: HoldPlan, held: int) -> None:
    assert plan.lowered_limit(held) is None


def test_a_prompt_that_was_shorter_leaves_more_for_the_answer() -> None:
    plan = HoldPlan(Bound(input_tokens=1000, output_tokens=500), price(), limit=500)
    before, after = plan.tokens_for(plan.nanos_for(10)), plan.with_input(10).tokens_for(plan.nanos_for(10))
    assert before == 10 and after is not None and after > 10 + 900 * 3 // 7


@dataclass
class Played:
    """What became of a stream: tokens that the client got and that were paid, how often was asked, was it cut."""

    delivered: int
    paid: int | None
    asks: int
    was_cut: bool
    largest_chunk: int


def play(plan: HoldPlan, chunks: list[tuple[int, int]], wallet: int, delay: int = 0) -> Played:
    """Chunks of (tokens, bytes) as they come; `wallet` is what there is beside the first hold. An extension is
    answered `delay` chunks later, and one is asked for at a time, as the gateway does.
    """
    held = plan.first_nanos
    funds = StreamFunds(plan, held)
    tokens = passed = asks = 0
    asked: tuple[int, int] | None = None
    for number, (more_tokens, more_bytes) in enumerate(chunks):
        tokens, passed = tokens + more_tokens, passed + more_bytes
        if passed >= funds.look_at_bytes:
            funds.plan_look(tokens, passed)
            wanted = funds.wanted_nanos(tokens)
            if wanted > 0 and asked is None:
                asked, asks = (number + delay, wanted), asks + 1
        if asked is not None and asked[0] <= number:
            granted, is_whole = min(asked[1], wallet), asked[1] <= wallet
            wallet, held, asked = wallet - granted, held + granted, None
            funds.held_nanos = held
            if funds.is_spent(tokens) and is_whole:
                asked, asks = (number + 1 + delay, funds.wanted_nanos(tokens)), asks + 1
            elif funds.is_spent(tokens):
                return Played(tokens, plan.tokens_for(held), asks, True, max(t for t, _ in chunks))
    return Played(tokens, plan.tokens_for(held), asks, False, max((t for t, _ in chunks), default=0))


@st.composite
def streams(draw: st.DrawFn, most_tokens: int) -> list[tuple[int, int]]:
    """Chunks of a server that packs its tokens up to four times tighter at one time than at another."""
    until = draw(st.integers(0, 300))
    size = draw(st.integers(1, 60))
    chunks: list[tuple[int, int]] = []
    total = 0
    largest = draw(st.sampled_from([1, 1, 7, 200]))
    packings = draw(st.lists(st.integers(size, 4 * size), min_size=1, max_size=5))
    while total < most_tokens and len(chunks) < 3_000:
        tokens = draw(st.integers(1, largest)) if len(chunks) < 40 else largest
        tokens = min(tokens, most_tokens - total)
        packing = packings[len(chunks) % len(packings)] if len(chunks) < until else size
        chunks.append((tokens, tokens * packing))
        total += tokens
    return chunks


PLAN = HoldPlan(Bound(input_tokens=50, output_tokens=2_500), price(), limit=2_500, is_stepwise=True, step_tokens=64)
A_TOKEN = price().reasoning_nanos_per_1k // 1000


@example([(1, 400)] * 100 + [(1, 100)] * 200, 80 * A_TOKEN)
@given(streams(2_500), st.integers(0, 2_500 * A_TOKEN))
def test_no_more_is_delivered_than_is_paid_and_a_chunk(chunks: list[tuple[int, int]], wallet: int) -> None:
    played = play(PLAN, chunks, wallet)
    assert played.paid is not None and played.delivered <= played.paid + played.largest_chunk
    if played.was_cut:
        assert played.delivered >= played.paid, "cut only when all of it is used up"
        assert PLAN.nanos_for(played.paid + 1) >= PLAN.first_nanos + wallet, "and nothing was left that could be held"


@given(streams(2_500), st.integers(0, 30))
def test_a_stream_that_can_be_paid_is_never_cut_and_asks_seldom(chunks: list[tuple[int, int]], delay: int) -> None:
    played = play(PLAN, chunks, PLAN.worst_nanos, delay)
    assert not played.was_cut and played.delivered == sum(tokens for tokens, _ in chunks)
    # for half as much again as was delivered, when half of that is left: after a fifth more, or half a first step
    assert played.asks <= 4 + math.log(2_500 / 64, 1.2)


@given(streams(2_500), st.integers(0, 30))
def test_where_nothing_more_is_to_be_had_looks_are_few_too(chunks: list[tuple[int, int]], delay: int) -> None:
    played = play(PLAN, chunks, 0, delay)
    # half of what is left from look to look, at the packing of before: at most eight times less each time round
    assert played.asks <= 2 + 8 * math.log2(64)
    assert played.was_cut or played.delivered <= 64 or delay > 0


@pytest.mark.parametrize("tokens", [2_499, 2_500])
def test_what_is_held_to_the_last_token_is_enough_to_the_last_token(tokens: int) -> None:
    """The end of such an answer is on its way: to cut it there would take away what was paid."""
    funds = StreamFunds(PLAN, PLAN.worst_nanos)
    assert funds.left(tokens) is None
    assert (funds.wanted_nanos(tokens), funds.is_spent(tokens)) == (0, False)


def test_a_server_that_goes_beyond_its_limit_has_to_be_paid_for_that() -> None:
    funds = StreamFunds(PLAN, PLAN.worst_nanos)
    assert funds.wanted_nanos(2_501) > 0 and funds.is_spent(2_501)


def test_output_that_costs_nothing_is_never_asked_about() -> None:
    free = price(output_nanos_per_1k=0, reasoning_nanos_per_1k=0)
    funds = StreamFunds(replace(PLAN, price=free), 0)
    assert funds.left(10**9) is None
    assert (funds.wanted_nanos(10**9), funds.is_spent(10**9)) == (0, False)
    funds.plan_look(10, 1_000)
    assert funds.look_at_bytes > 1_000


@given(st.integers(0, 2_000), st.integers(0, 10**6))
def test_the_next_look_is_always_ahead(tokens: int, passed: int) -> None:
    funds = StreamFunds(PLAN, PLAN.first_nanos)
    funds.plan_look(tokens, passed)
    assert funds.look_at_bytes > passed
