"""bcrypt beside the loop: of lower rank than the loop's thread. Its bounds are tested in test_keys."""

import os
import sys
import threading
from uuid import UUID

import pytest

from accounts.key_format import hash_key, lookup_prefix
from ledger.postgres import KeyRow
from proxy.keys import checks as module
from proxy.keys.checks import KeyChecks
from proxy.keys.guesses import Guesses

LOWEST_COST = 4
KEY = "pp_live-" + "A" * 32


def row(key: str = KEY) -> KeyRow:
    return KeyRow(UUID(int=1), UUID(int=2), UUID(int=3), lookup_prefix(key), hash_key(key, LOWEST_COST))


async def test_a_key_matches_its_own_hash_only() -> None:
    checks = KeyChecks()
    try:
        assert await checks.matches(KEY, "a", row())
        assert not await checks.matches(KEY[:-1] + "B", "b", row())
    finally:
        checks.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no rank of its own")
async def test_it_works_behind_the_loop_and_the_loop_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks: list[tuple[int, int]] = []

    def matches_hash(key: str, key_hash: str) -> bool:
        thread = threading.get_native_id()
        ranks.append((thread, os.getpriority(os.PRIO_PROCESS, thread)))
        return True

    monkeypatch.setattr(module, "matches_hash", matches_hash)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    checks = KeyChecks()
    try:
        assert await checks.matches(KEY, "a", row())
    finally:
        checks.close()
    ((thread, rank),) = ranks
    assert thread != threading.get_native_id() and rank > before
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no rank of its own")
async def test_where_that_is_forbidden_keys_are_checked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a sandbox of systemd's or a container's may."""
    asked: list[int] = []

    def setpriority(_which: int, thread: int, _rank: int) -> None:
        asked.append(thread)
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", setpriority)
    checks = KeyChecks()
    try:
        assert await checks.matches(KEY, "a", row())
    finally:
        checks.close()
    assert asked


async def test_wrong_keys_are_noted_with_what_they_took_and_right_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[tuple[str, float]] = []

    class Noting(Guesses):
        def wrong(self, prefix: str, cpu_s: float) -> None:
            noted.append((prefix, cpu_s))

    monkeypatch.setattr(module, "Guesses", Noting)
    checks = KeyChecks()
    try:
        assert await checks.matches(KEY, "a", row())
        assert noted == []
        assert not await checks.matches(KEY[:-1] + "B", "b", row())
    finally:
        checks.close()
    ((prefix, cpu_s),) = noted
    assert prefix == lookup_prefix(KEY) and 0 < cpu_s < 1
