from dataclasses import replace
from pathlib import Path

import pytest

from metering.counters import DIALECTS, CountersError, Growth, Page, Tokens, grown, read_page
from metering.kinds import KINDS

PAGES = Path("tests/data/metrics")
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
# What each recorded page says in all, by the model it names.
SAID: dict[str, dict[str | None, Tokens]] = {
    "vllm": {LLAMA: Tokens(98_313_546 + 343, 840)},
    "sglang": {"/srv/models/": Tokens(1_282_888 + 12, 340)},
    "llamacpp": {None: Tokens(1337, 4096)},
    "tgi": {None: Tokens(1204, 2048)},
}


def recorded(kind: str) -> str:
    return (PAGES / f"{kind}.txt").read_text()


def vllm(prompt: int, generated: int, start: float = 1.0, engine: int = 0) -> str:
    labels = f'{{engine="{engine}",model_name="m"}}'
    return (
        f"process_start_time_seconds {start}\n"
        f"vllm:prompt_tokens_total{labels} {prompt}\nvllm:generation_tokens_total{labels} {generated}\n"
    )


@pytest.mark.parametrize("kind", SAID)
def test_what_each_server_says(kind: str) -> None:
    page = read_page(recorded(kind), kind)
    assert page.dialect == kind
    assert grown([replace(page, series=())], [page]) == Growth(SAID[kind])
    assert page.started_s == (1_790_809_832.95 if kind == "vllm" else None)


@pytest.mark.parametrize("kind", SAID)
def test_of_a_generic_server_it_is_found_out(kind: str) -> None:
    assert read_page(recorded(kind), "generic") == read_page(recorded(kind), kind)


def test_every_dialect_is_a_kind() -> None:
    assert set(SAID) == set(DIALECTS) <= set(KINDS)


def test_names_with_underscores_instead_of_colons() -> None:
    text = recorded("vllm")
    assert read_page(text.replace("vllm:", "vllm_"), "vllm").series == read_page(text, "vllm").series


def test_a_server_that_was_asked_nothing_yet_has_counted_nothing() -> None:
    assert read_page("", "tgi") == Page("tgi", None, ())
    assert read_page("sglang:num_running_reqs 0\n", "sglang").series == ()


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        ("<html>", "vllm", "not a page of metrics: line 1"),
        (recorded("sglang"), "vllm", "no token counters of vllm"),
        ("go_goroutines 7\n", "tgi", "no token counters of tgi"),
        ("go_goroutines 7\n", "generic", "vLLM, SGLang, llama.cpp or TGI"),
        ("", "ollama", "vLLM, SGLang, llama.cpp or TGI"),
        (recorded("sglang") + recorded("vllm"), "generic", "no token counters"),
        ("llamacpp:prompt_tokens_total 1.5\n", "llamacpp", "no whole number"),
        ("llamacpp:prompt_tokens_total -1\n", "llamacpp", "no whole number"),
        ("llamacpp:prompt_tokens_total NaN\n", "llamacpp", "no whole number"),
        ("llamacpp:prompt_tokens_total +Inf\n", "llamacpp", "no whole number"),
        ("llamacpp:prompt_tokens_total 1e16\n", "llamacpp", "no whole number"),
        ("llamacpp:prompt_tokens_total 1\nllamacpp:prompt_tokens_total 1\n", "llamacpp", "twice"),
    ],
)
def test_a_page_that_says_nothing_of_use(text: str, kind: str, why: str) -> None:
    with pytest.raises(CountersError, match=why):
        read_page(text, kind)


def grown_from(before: str, after: str) -> Growth:
    return grown([read_page(before, "vllm")], [read_page(after, "vllm")])


def test_the_difference_is_what_is_new() -> None:
    assert grown_from(vllm(10, 20), vllm(11, 25)) == Growth({"m": Tokens(1, 5)})
    assert grown_from(vllm(10, 20), vllm(10, 20)) == Growth({"m": Tokens(0, 0)})


def test_a_new_series_counts_from_nothing() -> None:
    more = vllm(11, 25) + vllm(3, 4, engine=1).split("\n", 1)[1]
    assert grown_from(vllm(10, 20), more) == Growth({"m": Tokens(4, 9)})


@pytest.mark.parametrize(
    "after",
    [vllm(9, 20), vllm(10, 19), vllm(10, 20, start=2.0), vllm(99, 99, start=2.0), "vllm:num_requests_running 1\n"],
    ids=["less in", "less out", "another start", "another start, more", "gone"],
)
def test_a_server_that_began_anew_is_noticed(after: str) -> None:
    assert grown_from(vllm(10, 20), after).was_reset


def test_after_a_restart_at_least_what_it_says_is_new() -> None:
    assert grown_from(vllm(10, 20), vllm(3, 4)) == Growth({"m": Tokens(3, 4)}, was_reset=True)


def test_several_servers_are_added_up() -> None:
    pages = [read_page(vllm(tokens, tokens), "vllm") for tokens in (1, 2, 5, 7)]
    assert grown(pages[:2], pages[2:]) == Growth({"m": Tokens(9, 9)})
