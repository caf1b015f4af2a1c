"""A key that is known and good, or the refusal."""

from typing import Any, cast
from uuid import UUID

import pytest

from metering.admission import KeyStanding, Limits, LimitsUnavailable
from metering.policy import ANYTHING, Policy
from proxy.callers import Callers
from proxy.failures import Failure
from proxy.keys.door import Door
from proxy.keys.verifier import Identity
from runtime.addresses import Network, read_network
from runtime.http.request import Request
from runtime.strikes import Strikes
from tests.support.calls import IDENTITY, door_of
from tests.support.requests import made_request

GOOD = KeyStanding(True, False, ANYTHING)
REVOKED = KeyStanding(False, False, ANYTHING)
FROZEN = KeyStanding(True, True, ANYTHING)
ELSEWHERE = KeyStanding(True, False, Policy.parse(b'{"ips": ["192.0.2.0/24"]}'))


class Parts:
    """The verifier and the limits in one."""

    def __init__(self, answer: KeyStanding | Exception) -> None:
        self._answer = answer

    def known(self, key: str) -> Identity | None:
        return None

    async def verify(self, key: str) -> Identity:
        assert key == "pp_live-x"
        return IDENTITY

    async def standing(self, key_id: UUID, wallet_id: UUID, now_ms: int) -> KeyStanding:
        assert (key_id, wallet_id) == (IDENTITY.key_id, IDENTITY.wallet_id) and now_ms > 0
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def asked(answer: KeyStanding | Exception) -> tuple[Callers, Request]:
    parts: Any = Parts(answer)
    request = made_request(headers={"authorization": "Bearer pp_live-x"})
    return Callers(door_of(parts), cast(Limits, parts)), request


@pytest.mark.parametrize(("trusted", "is_allowed"), [((), False), ((read_network("127.0.0.0/8"),), True)])
async def test_where_a_call_comes_from_is_what_trusted_proxies_say(
    trusted: tuple[Network, ...], is_allowed: bool
) -> None:
    parts: Any = Parts(ELSEWHERE)
    headers = {"authorization": "Bearer pp_live-x", "x-forwarded-for": "10.9.9.9, 192.0.2.7"}
    request = made_request(headers=headers, remote="127.0.0.1")
    callers = Callers(Door(parts, Strikes(0), trusted), parts)
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
