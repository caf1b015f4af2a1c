"""What is typed and printed; what the commands do is in tests/integration/test_dead_letters.py."""

from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from accounts.dead_letters import DeadLetter
from proxy.cli.dead_letters import _line, dead_letters


def test_a_letter_in_a_line() -> None:
    letter = DeadLetter(12, "17-0", "{}", "DataError: bad", datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
    assert _line(letter) == "    12  2026-03-04 05:06:07  17-0  DataError: bad"


@pytest.mark.parametrize(
    "arguments",
    [["post"], ["drop"], ["drop", "1-1"], ["show"], ["show", "1-1", "2-2"], ["list", "--limit", "0"], ["list", "x"]],
)
def test_what_cannot_be_asked(arguments: list[str]) -> None:
    assert CliRunner().invoke(dead_letters, arguments).exit_code == 2
