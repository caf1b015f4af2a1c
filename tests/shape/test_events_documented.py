"""docs/EVENTS.md names every event, and its code for receivers does what it says."""

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from accounts.notices.signing import signed_headers
from runtime.clock import wall_ms
from runtime.settings.notices import EVENT_KINDS
from tests.support.events import SECRET, SECRET_BYTES

PAGE = (Path(__file__).parents[2] / "docs" / "EVENTS.md").read_text()
BODY = b'{"type": "balance.low"}'


@pytest.fixture
def is_genuine() -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["is_genuine"]


def headers(at_s: int | None = None, *secrets: bytes) -> dict[str, str]:
    return signed_headers(UUID(int=1), wall_ms() // 1000 if at_s is None else at_s, BODY, secrets or (SECRET_BYTES,))


def test_every_kind_has_its_line() -> None:
    assert tuple(re.findall(r"^\| `([a-z]+\.[a-z]+)` \|", PAGE, re.MULTILINE)) == EVENT_KINDS


def test_what_we_sign_is_genuine_also_while_a_secret_is_replaced(is_genuine: Any) -> None:
    assert is_genuine(headers(), BODY, SECRET)
    assert is_genuine(headers(None, b"n" * 32, SECRET_BYTES), BODY, SECRET)


def test_what_others_sign_or_send_again_is_not(is_genuine: Any) -> None:
    assert not is_genuine(headers(None, b"n" * 32), BODY, SECRET)
    assert not is_genuine(headers(), BODY + b" ", SECRET)
    assert not is_genuine(headers() | {"webhook-id": "another"}, BODY, SECRET)
    assert not is_genuine(headers(1_000_000_000), BODY, SECRET)
