"""What is typed for wallets; what it does is in tests/integration/test_admin_acts.py and test_users.py."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from click.testing import CliRunner

from accounts.users import UserRow
from proxy.cli.wallets import _line, wallets

ROW = UserRow(UUID(int=1), UUID(int=2), 1_500_000_000, 0, True, datetime(2026, 1, 1, tzinfo=UTC), 25, 3, None)


def test_a_wallet_in_one_line() -> None:
    line = _line(ROW)
    assert line.split() == [
        str(UUID(int=1)), "$1.5", "spent", "$0.000000025", "in", "3", "requests", "frozen", "never", "used",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--sort", "name"],
        ["list", "--limit", "0"],
        ["list", "--since", "yesterday"],
        ["freeze"],
        ["freeze", "--user", "nobody"],
        ["overdraft", "--user", str(UUID(int=1)), "--amount", "-0.000000001"],
        ["overdraft", "--user", str(UUID(int=1)), "--amount", "NaN"],
    ],
    ids=" ".join,
)
def test_nonsense_is_refused_before_anybody_is_asked(arguments: list[str]) -> None:
    result = CliRunner().invoke(wallets, [*arguments, "--config", "/no/such/file"])
    assert result.exit_code == 2 and "Usage:" in result.output
