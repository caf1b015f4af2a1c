"""The options of the command."""

from pathlib import Path

import click
import pytest

from benchmarks import environments
from benchmarks.bench import FIGURES, Names, needed, programs, written_to
from benchmarks.figure import Alone
from benchmarks.run import NAMES

KNOWN = Names(["memory", "unary", "ledger"])


def test_names_come_in_the_order_they_are_known_in() -> None:
    assert KNOWN.convert("ledger,memory", None, None) == ["memory", "ledger"]


def test_a_name_that_is_not_known_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="'uanry' is none of memory, unary, ledger"):
        KNOWN.convert("memory,uanry", None, None)


def test_memory_is_measured_before_what_would_hide_it() -> None:
    assert next(iter(FIGURES)) == "memory"


def test_nobody_else_is_needed_where_only_farebox_is_measured() -> None:
    alone = [measurement for measurement in FIGURES.values() if isinstance(measurement, Alone)]
    assert needed(alone, NAMES) == []
    assert needed([*alone, FIGURES["unary"]], NAMES) == ["nginx", "envoy", "litellm"]
    assert needed([FIGURES["unary"]], ["farebox", "envoy"]) == ["envoy"]


def test_a_program_that_is_named_is_used_and_one_that_cannot_be_had_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "contender", {"nginx": "/found/nginx"}.get)
    given = {"nginx": None, "envoy": "/given/envoy", "litellm": None}
    assert programs(given, ["nginx", "envoy", "litellm"]) == {"nginx": "/found/nginx", "envoy": "/given/envoy"}
    assert programs(given, []) == {}


def test_only_a_whole_run_is_written_into_the_page() -> None:
    page = Path("docs/PERFORMANCE.md")
    assert written_to(page, is_whole=True) == page
    assert written_to(page, is_whole=False) == environments.FOLDER / "PERFORMANCE.md"
