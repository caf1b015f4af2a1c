"""What is typed for keys; what the commands do is in tests/acceptance/test_command_line.py."""

from uuid import UUID

import pytest
from click.testing import CliRunner

from proxy.cli.keys import keys

NOWHERE = ("--config", "/no/such/file")
CREATE = ("create", "--user", str(UUID(int=7)), "--name", "x")
UPDATE = ("update", str(UUID(int=1)))


@pytest.mark.parametrize(
    "arguments",
    [
        (*CREATE, "--ip", "10.0.0.1/8"),
        (*CREATE, "--model", "a", "--model", "a"),
        (*CREATE, "--route", "chat"),
        (*CREATE, "--tpm", "0"),
        (*CREATE, "--tpm", "100000001"),
        (*CREATE, "--concurrency", "-1"),
        (*CREATE, "--budget-daily", "0"),
        (*CREATE, "--budget-total", "NaN"),
        ("create", "--user", str(UUID(int=7)), "--name", "a\u202eb"),
        ("create", "--user", str(UUID(int=7)), "--name", " "),
        UPDATE,
        (*UPDATE, "--clear", "rpm"),
        (*UPDATE, "--clear", "tpm", "--tpm", "5"),
        (*UPDATE, "--rpm", "0"),
        ("rotate", str(UUID(int=1)), "--grace", "soon"),
        ("rotate", "x"),
    ],
)
def test_nonsense_is_refused_before_anybody_is_asked(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(keys, [*arguments, *NOWHERE])
    assert result.exit_code == 2 and "Error: " in result.output
