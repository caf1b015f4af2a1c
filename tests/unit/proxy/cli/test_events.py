"""What is typed and printed; what the commands do is in tests/acceptance/test_notices.py."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from accounts.notices.records import EventRecord
from proxy.cli.events import _delivery, _line, events

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DELIVERY = {
    "channel": "email",
    "state": "pending",
    "attempts": 2,
    "reason": "smtp_450",
    "due_at": "2026-03-04T06:00:00Z",
}


def record(dispatched_at: datetime | None, *deliveries: dict[str, Any]) -> EventRecord:
    return EventRecord(UUID(int=1), 1, "key.revoked", UUID(int=2), {}, AT, dispatched_at, deliveries)


def test_an_event_in_a_line() -> None:
    head = f"2026-03-04 05:06:07  {UUID(int=1)}  key.revoked       {UUID(int=2)}  "
    assert _line(record(None)) == head + "not decided yet"
    assert _line(record(AT)) == head + "nobody is told"
    assert _line(record(AT, DELIVERY, DELIVERY | {"channel": "webhook:a"})) == head + "email=pending webhook:a=pending"


def test_a_delivery_in_a_line() -> None:
    assert _delivery(DELIVERY) == "  email  pending  2 attempts  next 2026-03-04T06:00:00Z  smtp_450"
    assert _delivery(DELIVERY | {"state": "delivered", "reason": ""}) == "  email  delivered  2 attempts"


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", str(UUID(int=1)), "--dead"],
        ["replay", "nothing"],
        ["show", "nothing"],
        ["list", "--kind", "balance.gone"],
        ["list", "--state", "lost"],
        ["list", "--limit", "0"],
    ],
)
def test_what_cannot_be_asked(arguments: list[str]) -> None:
    ended = CliRunner().invoke(events, arguments)
    assert ended.exit_code == 2
