"""A line of the log, as it is printed; what is in it is in tests/integration/test_admin_log.py."""

from datetime import UTC, datetime
from uuid import UUID

from accounts.admin_log import Act, LoggedAct
from proxy.cli.admin_log import _json, _line

ACT = Act("cli:root", "wallet.freeze", "wallet", "w-1", UUID(int=1), {"frozen": False}, None, "stolen card")
LOGGED = LoggedAct(7, datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), ACT)


def test_in_a_line() -> None:
    expected = '2026-03-04 05:06:07  cli:root  wallet.freeze  w-1  {"frozen":false} -> null  stolen card'
    assert _line(LOGGED) == expected


def test_as_json() -> None:
    assert _json(LOGGED) == {
        "id": 7, "at": LOGGED.at, "actor": "cli:root", "action": "wallet.freeze", "target_kind": "wallet",
        "target_id": "w-1", "user_id": UUID(int=1), "before": {"frozen": False}, "after": None, "reason": "stolen card",
    }  # fmt: skip
