from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.billed import Billed
from ledger.entries import DRAINED
from metering.counters import DIALECTS, Growth, Tokens
from metering.reconciliation import Bounds, Line, Reconciliation, reconcile

EXACT = Bounds(0.0, 0)


def billed(model: str = "m", **changes: Any) -> Billed:
    fields: dict[str, Any] = {
        "model": model, "end_reason": "completed", "usage_source": "reported", "is_inside": True, "has_output": True,
        "requests": 1, "input": 10, "cached": 4, "output": 100,
    }  # fmt: skip
    return Billed(**(fields | changes))


def judged(
    groups: list[Billed], input: int, output: int, dialect: str = "vllm", bounds: Bounds = EXACT
) -> Reconciliation:
    return reconcile(groups, Growth({"m": Tokens(input, output)}), dialect, bounds)


def lines(found: Reconciliation) -> tuple[Line, Line]:
    (of_input, of_output) = found.lines
    assert (of_input.direction, of_output.direction) == ("input", "output")
    return of_input, of_output


def test_the_same_agrees_and_one_more_or_less_does_not() -> None:
    assert judged([billed()], 10, 100).is_within
    for counted, difference in ((101, 1), (99, -1)):
        found = judged([billed()], 10, counted)
        assert not found.is_within
        assert lines(found)[1].difference == difference and lines(found)[1].share == difference / max(100, counted)


def test_tolerance_is_of_the_larger_side() -> None:
    for counted, is_within in ((105, True), (106, False), (95, True), (94, False)):
        assert judged([billed()], 10, counted, bounds=Bounds(0.05, 0)).is_within is is_within, counted


def test_nothing_at_all_agrees() -> None:
    assert reconcile([], Growth(), "tgi", EXACT) == Reconciliation(())
    found = judged([], 0, 0)
    assert found.is_within and lines(found)[1].share == 0


@pytest.mark.parametrize(("dialect", "prompt"), [("vllm", 10), ("sglang", 10), ("tgi", 10), ("llamacpp", 6)])
def test_llamacpp_does_not_count_what_its_cache_held(dialect: str, prompt: int) -> None:
    assert judged([billed()], prompt, 100, dialect).is_within
    assert not judged([billed()], prompt + 1, 100, dialect).is_within


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_ran_at_an_edge_may_be_counted_in_part(dialect: str) -> None:
    groups = [billed(cached=0), billed(is_inside=False, cached=0, output=50)]
    for counted, is_within in ((99, False), (100, True), (130, True), (150, True), (151, False)):
        assert judged(groups, 15, counted, dialect).is_within is is_within, counted
    assert lines(judged(groups, 15, 100))[1].at_edges == 50
    assert judged(groups, 15, 100).remarks["m"].at_edges == 1


@pytest.mark.parametrize(("dialect", "least"), [("vllm", 150), ("sglang", 100), ("llamacpp", 100), ("tgi", 100)])
def test_what_was_cut_is_counted_by_vllm_for_certain_and_goes_on_a_little(dialect: str, least: int) -> None:
    cut = billed(end_reason="client_left", usage_source="partial", output=50)
    found = judged([billed(), cut], 20 if dialect != "llamacpp" else 12, least, dialect, Bounds(0.0, 8))
    assert (lines(found)[1].least, lines(found)[1].most, found.is_within) == (least, 158, True)
    (remarks,) = found.remarks.values()
    assert (remarks.cut, remarks.cut_tokens, remarks.counted_by_us) == (1, 50, 0)


def test_a_prompt_that_may_not_have_been_read_need_not_be_counted() -> None:
    waiting = billed(end_reason="client_left", usage_source="estimated", has_output=False, output=0)
    found = judged([waiting], 0, 0)
    assert found.is_within and (lines(found)[0].least, lines(found)[0].most) == (0, 10)
    assert judged([waiting], 10, 0).is_within and not judged([waiting], 11, 0).is_within


def test_what_was_read_to_its_end_counts_whole() -> None:
    drained = billed(end_reason=DRAINED)
    found = judged([drained], 10, 100, "sglang")
    assert found.is_within and lines(found)[1].least == 100
    assert (found.remarks["m"].drained, found.remarks["m"].drained_tokens) == (1, 100)


def test_what_was_free_or_counted_here_is_said() -> None:
    free = billed(
        end_reason="upstream_error", usage_source="none", has_output=False, input=0, cached=0, output=0, requests=3
    )
    ours = billed(usage_source="tokenized")
    remarks = judged([free, ours], 10, 100).remarks["m"]
    assert (remarks.free, remarks.cut, remarks.counted_by_us, remarks.counted_by_us_tokens) == (3, 0, 1, 100)


def test_a_server_with_one_model_or_none_is_asked_by_any_name() -> None:
    groups = [billed("a"), billed("b")]
    for name, shown in (("theirs", "a, b (theirs)"), (None, "a, b")):
        found = reconcile(groups, Growth({name: Tokens(20, 200)}), "vllm", EXACT)
        assert found.is_within and {line.model for line in found.lines} == {shown}


def test_several_models_are_matched_by_name_and_what_is_left_over_differs() -> None:
    growth = Growth({"a": Tokens(10, 100), "theirs": Tokens(10, 100)})
    groups = [billed("a"), billed("ours")]
    found = reconcile(groups, growth, "vllm", EXACT)
    assert {line.model: line.is_within for line in found.lines} == {"a": True, "ours": False, "theirs": False}
    found = reconcile(groups, growth, "vllm", EXACT, {"ours": "theirs"})
    assert {line.model: line.is_within for line in found.lines} == {"a": True, "ours (theirs)": True}


def test_agreement_about_next_to_nothing_is_called_vague() -> None:
    assert not judged([billed()], 10, 100).is_vague
    edges = [billed(cached=0), billed(is_inside=False, output=9, input=0, cached=0)]
    assert not judged(edges, 10, 100).is_vague
    assert judged([billed(is_inside=False)], 10, 100).is_vague
    assert not reconcile([], Growth(), "vllm", EXACT).is_vague


def test_after_a_restart_nothing_is_right() -> None:
    assert not reconcile([billed()], Growth({"m": Tokens(10, 100)}, was_reset=True), "vllm", EXACT).is_within


groups = st.lists(
    st.builds(
        billed,
        is_inside=st.booleans(),
        end_reason=st.sampled_from(["completed", "client_left", "client_left_drained", "upstream_error"]),
        usage_source=st.sampled_from(["reported", "partial", "estimated", "none"]),
        requests=st.integers(1, 9),
        input=st.integers(4, 1000),
        output=st.integers(0, 1000),
    ),
    max_size=6,
)


@given(groups, st.sampled_from(sorted(DIALECTS)), st.integers(0, 9999), st.integers(0, 50))
def test_only_what_is_outside_the_range_is_a_difference(
    found: list[Billed], dialect: str, counted: int, late: int
) -> None:
    for line in judged(found, counted, counted, dialect, Bounds(0.0, late)).lines:
        assert line.least <= line.billed <= line.most
        assert line.is_within is (line.least <= counted <= line.most) is (line.difference == 0)
