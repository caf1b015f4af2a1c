"""The options of the command."""

import click
import pytest

from benchmarks.bench import FIGURES, Names

KNOWN = Names(["memory", "unary", "ledger"])


def test_names_come_in_the_order_they_are_known_in() -> None:
    assert KNOWN.convert("ledger,memory", None, None) == ["memory", "ledger"]


def test_a_name_that_is_not_known_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="'uanry' is none of memory, unary, ledger"):
        KNOWN.convert("memory,uanry", None, None)


def test_memory_is_measured_before_what_would_hide_it() -> None:
    assert next(iter(FIGURES)) == "memory"
