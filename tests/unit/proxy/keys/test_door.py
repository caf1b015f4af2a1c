"""Who comes in, who is asked about, and who has to wait."""

import asyncio
from typing import Any, cast

import pytest

from proxy.failures import Failure, invalid_api_key
from proxy.keys.door import Door
from proxy.keys.verifier import Identity, KeyVerifier
from runtime.addresses import read_network
from runtime.http.request import Request
from runtime.strikes import Strikes
from tests.support.calls import IDENTITY
from tests.support.requests import made_request

GOOD, FRESH, WRONG = "pp_live-good", "pp_live-fresh", "pp_live-wrong"
PROXY = (read_network("10.0.0.0/8"),)


class Verifier:
    """Has verified GOOD; would find FRESH."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failure: Failure | None = None
        self.go = asyncio.Event()
        self.go.set()

    def known(self, key: str) -> Identity | None:
        return IDENTITY if key == GOOD else None

    async def verify(self, key: str) -> Identity:
        self.asked.append(key)
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        if key == WRONG:
            raise invalid_api_key()
        return IDENTITY


class Rig:
    def __init__(self, per_minute: int) -> None:
        self.verifier = Verifier()
        self.door = Door(cast(KeyVerifier, self.verifier), Strikes(per_minute), PROXY)

    async def code(self, key: str, remote: str | None = "192.0.2.1", **headers: str) -> str:
        try:
            await self.door.identify(presenting(key, remote, **headers))
        except Failure as failure:
            return failure.code
        return "in"


def presenting(key: str, remote: str | None, **headers: str) -> Request:
    sent: dict[str, Any] = {"authorization": f"Bearer {key}"} | {n.replace("_", "-"): v for n, v in headers.items()}
    return made_request(headers=sent, remote=remote)


async def test_who_keeps_guessing_waits_and_is_no_longer_asked_about() -> None:
    rig = Rig(2)
    assert [await rig.code(WRONG) for _ in range(4)] == ["invalid_api_key"] * 2 + ["rate_limit_exceeded"] * 2
    assert len(rig.verifier.asked) == 2
    with pytest.raises(Failure) as refused:
        await rig.door.identify(presenting(WRONG, "192.0.2.1"))
    assert 0 < int(refused.value.headers["retry-after"]) <= 30


async def test_a_known_key_passes_from_wherever_it_comes_and_others_wait_with_the_guesser() -> None:
    rig = Rig(1)
    await rig.code(WRONG)
    assert [await rig.code(key) for key in (GOOD, FRESH)] == ["in", "rate_limit_exceeded"]
    assert await rig.code(FRESH, "192.0.2.2") == "in"


async def test_good_keys_are_no_strikes_however_many_come() -> None:
    rig = Rig(1)
    assert [await rig.code(FRESH) for _ in range(5)] == ["in"] * 5


@pytest.mark.parametrize("code", ["limits_unavailable", "accounts_unavailable", "overloaded"])
async def test_what_is_not_the_clients_fault_is_no_strike(code: str) -> None:
    rig = Rig(1)
    rig.verifier.failure = Failure(code, "away")
    assert [await rig.code(FRESH) for _ in range(3)] == [code] * 3


async def test_many_guesses_at_once_are_counted_before_they_are_answered() -> None:
    rig = Rig(3)
    rig.verifier.go.clear()
    waiting = asyncio.gather(*(rig.code(WRONG) for _ in range(10)))
    await asyncio.sleep(0)
    rig.verifier.go.set()
    assert (await waiting).count("invalid_api_key") == 3 == len(rig.verifier.asked)


async def test_behind_a_trusted_proxy_it_is_the_client_that_counts() -> None:
    rig = Rig(1)
    assert await rig.code(WRONG, "10.0.0.1", x_forwarded_for="192.0.2.1") == "invalid_api_key"
    assert await rig.code(WRONG, "10.0.0.1", x_forwarded_for="192.0.2.1") == "rate_limit_exceeded"
    assert await rig.code(WRONG, "10.0.0.1", x_forwarded_for="192.0.2.2") == "invalid_api_key"
    # nobody else is believed: all that a stranger makes up is one address
    assert await rig.code(WRONG, "192.0.2.9", x_forwarded_for="1.1.1.1") == "invalid_api_key"
    assert await rig.code(WRONG, "192.0.2.9", x_forwarded_for="2.2.2.2") == "rate_limit_exceeded"


async def test_who_comes_over_a_local_socket_has_no_address() -> None:
    rig = Rig(1)
    assert [await rig.code(WRONG, None) for _ in range(3)] == ["invalid_api_key"] * 3


async def test_without_a_key_nothing_is_asked() -> None:
    rig = Rig(1)
    with pytest.raises(Failure, match="missing_api_key"):
        await rig.door.identify(made_request(remote="192.0.2.1"))
    assert rig.verifier.asked == []
