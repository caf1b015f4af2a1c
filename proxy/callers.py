"""Who calls, for what takes nothing: the key must be known and good, and no request is counted."""

from dataclasses import dataclass

from metering.admission import Limits, LimitsUnavailable
from metering.policy import Policy, Refused
from proxy import refusals
from proxy.failures import invalid_api_key
from proxy.http.client_address import client_address
from proxy.keys.door import Door
from proxy.keys.verifier import Identity
from runtime.clock import wall_ms
from runtime.http.request import Request


@dataclass(frozen=True, slots=True)
class Callers:
    door: Door
    limits: Limits

    async def identify(self, request: Request) -> Identity:
        """Whose key is presented. Raises as `identify_with_policy`."""
        identity, _ = await self.identify_with_policy(request)
        return identity

    async def identify_with_policy(self, request: Request) -> tuple[Identity, Policy]:
        """Whose key is presented, and what it may be used for.

        Raises the Failure to answer with, also where the key is revoked, expired or frozen, or this is not a place
        that it may be used from. Routes are not asked about: what takes nothing is open to every good key.
        """
        identity = await self.door.identify(request)
        try:
            standing = await self.limits.standing(identity.key_id, identity.wallet_id, wall_ms())
        except LimitsUnavailable as error:
            raise refusals.of_limits(error) from error
        if not standing.is_good:
            raise invalid_api_key()
        if standing.is_frozen:
            raise refusals.key_frozen()
        if not standing.policy.allows_ip(client_address(request.remote, request.raw_headers, self.door.trusted)):
            raise refusals.of_policy(Refused.IP)
        return identity, standing.policy
