"""What is read of a hold whose lease lapsed, and what becomes of it; the scripts are played."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from structlog.testing import capture_logs

from ledger.entries import WalletState
from ledger.redis_schema import holds_key, key_state_key, looks_key, usage_stream, wallet_key
from metering.recovery import Lapsed, Recovery, read_lapsed
from tests.support.ledger import usage_entry

REQUEST, WALLET, KEY = UUID(int=1), UUID(int=2), UUID(int=3)
ENTRY = replace(usage_entry(WalletState(WALLET, UUID(int=9), 0, 0, 1), 70), request_id=REQUEST)


def hold(checkpoint: bytes = b"", expiry_ms: int = 17) -> bytes:
    return f"60 {expiry_ms} {WALLET} {KEY} ".encode() + checkpoint


@dataclass
class Scripts:
    """A client that finds `pages` of lapsed holds, one each time it is asked, and settles as told."""

    pages: list[list[bytes]] = field(default_factory=list)
    charges: list[int] = field(default_factory=list)
    looked: list[tuple[list[str], list[Any]]] = field(default_factory=list)
    settled: list[tuple[list[str], list[Any]]] = field(default_factory=list)

    def register_script(self, source: str) -> Callable[[list[str], list[Any]], Awaitable[Any]]:
        return self._settle if "local function settle(" in source else self._lapsed

    async def _lapsed(self, names: list[str], args: list[Any]) -> list[Any]:
        self.looked.append((names, args))
        page = self.pages.pop(0) if self.pages else []
        return [b"9" if self.pages else b"0", page]

    async def _settle(self, names: list[str], args: list[Any]) -> list[int]:
        self.settled.append((names, args))
        return self.charges or [0] * (len(args) // 5)


def test_a_checkpoint_is_the_entry_so_far() -> None:
    found = read_lapsed(REQUEST.bytes, hold(ENTRY.to_json()))
    assert found == Lapsed(REQUEST, WALLET, KEY, 17, ENTRY)


def test_a_checkpoint_may_hold_spaces() -> None:
    spaced = replace(ENTRY, model="a model", error_message="it broke off")
    assert read_lapsed(REQUEST.bytes, hold(spaced.to_json())).entry == spaced


def test_where_nothing_was_noted_there_is_nothing_to_charge() -> None:
    assert read_lapsed(REQUEST.bytes, hold()).entry is None


@pytest.mark.parametrize("checkpoint", [b"{", b"{}", b'{"request_id":1}', b"\xff", b"a b c"])
def test_what_cannot_be_read_is_none_and_said(checkpoint: bytes) -> None:
    with capture_logs() as logs:
        found = read_lapsed(REQUEST.bytes, hold(checkpoint))
    assert (found.entry, found.wallet_id) == (None, WALLET)
    assert [(line["event"], line["request_id"]) for line in logs] == [("checkpoint_unreadable", str(REQUEST))]


async def test_what_lapsed_is_settled_as_it_was_seen() -> None:
    other = UUID(int=4)
    scripts = Scripts([[REQUEST.bytes, hold(ENTRY.to_json(), 17), other.bytes, hold(b"", 18)]], [70, 0])
    with capture_logs() as logs:
        assert await Recovery(cast(Redis, scripts)).look() == 2
    tokens = ENTRY.all_input_tokens + ENTRY.all_output_tokens
    assert tokens > 0
    assert scripts.settled == [
        (
            [holds_key(0), usage_stream(0), *[wallet_key(0, WALLET), key_state_key(0, KEY)] * 2],
            [REQUEST.bytes, 70, ENTRY.to_json(), tokens, 17, other.bytes, 0, b"", 0, 18],
        )
    ]
    assert [(line["event"], line["cost_nanos"]) for line in logs] == [
        ("request_recovered", 70),
        ("request_recovered", 0),
    ]


async def test_what_was_renewed_since_is_not_counted() -> None:
    scripts = Scripts([[REQUEST.bytes, hold(ENTRY.to_json())]], [-1])
    with capture_logs() as logs:
        assert await Recovery(cast(Redis, scripts)).look() == 0
    assert logs == []


async def test_where_nothing_lapsed_nothing_is_settled() -> None:
    scripts = Scripts()
    assert await Recovery(cast(Redis, scripts)).look() == 0
    assert (len(scripts.looked), scripts.settled) == (1, [])


async def test_all_pages_of_all_shards_are_looked_at() -> None:
    pages = [[UUID(int=10 + n).bytes, hold()] for n in range(3)]
    scripts = Scripts([*pages[:2], [], pages[2]])
    assert await Recovery(cast(Redis, scripts), 2, lease_ms=7, pause_ms=8).look() == 3
    first, second = [holds_key(0), looks_key(0)], [holds_key(1), looks_key(1)]
    assert [names for names, _ in scripts.looked] == [first] * 4 + [second]
    assert [args[0] for _, args in scripts.looked] == [b"0", b"9", b"9", b"9", b"0"]
    assert {tuple(args[2:]) for _, args in scripts.looked} == {(7, 8)}
