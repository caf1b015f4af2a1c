"""A key that is known and good, or the refusal."""

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from metering.admission import KeyStanding, Limits, LimitsUnavailable
from metering.policy import ANYTHING, Policy
from proxy.callers import Callers
from proxy.failures import Failure
from proxy.keys import Identity, KeyVerifier
from runtime.addresses import Network, read_network
from tests.support.calls import IDENTITY

GOOD = KeyStanding(True, False, ANYTHING)
REVOKED = KeyStanding(False, False, ANYTHING)
FROZEN = KeyStanding(True, True, ANYTHING)
ELSEWHERE = KeyStanding(True, False, Policy.parse(b'{"ips": ["192.0.2.0/24"]}'))


class Parts:
    """The verifier and the limits in one."""

    def __init__(self, answer: KeyStanding | Exception) -> None:
        self._answer = answer

    async def verify(self, key: str) -> Identity:
        assert key == "pp_live-x"
        return IDENTITY

    async def standing(self, key_id: UUID, wallet_id: UUID, now_ms: int) -> KeyStanding:
        assert (key_id, wallet_id) == (IDENTITY.key_id, IDENTITY.wallet_id) and now_ms > 0
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class PeerOf:
    """A connection, as far as who is at its other end."""

    def __init__(self, host: str) -> None:
        self._peer = (host, 4711)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._peer if name == "peername" else default


def asked(answer: KeyStanding | Exception) -> tuple[Callers, web.BaseRequest]:
    parts: Any = Parts(answer)
    request = make_mocked_request("GET", "/", headers={"authorization": "Bearer pp_live-x"})
    return Callers(cast(KeyVerifier, parts), cast(Limits, parts)), request


@pytest.mark.parametrize(("trusted", "is_allowed"), [((), False), ((read_network("127.0.0.0/8"),), True)])
async def test_where_a_call_comes_from_is_what_trusted_proxies_say(
    trusted: tuple[Network, ...], is_allowed: bool
) -> None:
    parts: Any = Parts(ELSEWHERE)
    transport = cast(asyncio.Transport, PeerOf("127.0.0.1"))
    headers = {"authorization": "Bearer pp_live-x", "x-forwarded-for": "10.9.9.9, 192.0.2.7"}
    request = make_mocked_request("GET", "/", headers=headers, transport=transport)
    callers = Callers(parts, parts, trusted)
    if is_allowed:
        assert await callers.identify_with_policy(request) == (IDENTITY, ELSEWHERE.policy)
    else:
        with pytest.raises(Failure) as refused:
            await callers.identify_with_policy(request)
        assert refused.value.code == "ip_not_allowed"


async def test_a_good_key_is_its_owner() -> None:
    callers, request = asked(GOOD)
    assert await callers.identify(request) is IDENTITY


@pytest.mark.parametrize(
    ("answer", "status"), [(REVOKED, 401), (FROZEN, 403), (ELSEWHERE, 403), (LimitsUnavailable("away", 5), 503)]
)
async def test_any_other_is_refused(answer: KeyStanding | Exception, status: int) -> None:
    callers, request = asked(answer)
    with pytest.raises(Failure) as refused:
        await callers.identify(request)
    assert refused.value.status == status
