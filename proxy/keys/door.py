"""Who comes in: a known key passes, an unknown one is asked about, and an address that keeps guessing has to wait.

Known is what this process has verified. So nobody who shares an address with somebody who guesses is shut out while
they go on working; only who comes with a key for the first time waits with the others.
"""

from dataclasses import dataclass

from proxy.failures import Failure, retry_after
from proxy.http.body import presented_key
from proxy.http.client_address import client_address
from proxy.keys.verifier import Identity, KeyVerifier
from runtime.addresses import Network
from runtime.http.request import Request
from runtime.strikes import Strikes


@dataclass(frozen=True, slots=True)
class Door:
    """`trusted`: proxies whose word on the client's address is taken."""

    verifier: KeyVerifier
    strikes: Strikes
    trusted: tuple[Network, ...] = ()

    async def identify(self, request: Request) -> Identity:
        """Whose key is presented; raises the Failure to answer with."""
        key = presented_key(request.headers)
        return self.known(key) or await self.ask(request, key)

    def known(self, key: str) -> Identity | None:
        """Without waiting: whose it is, if this process has verified it."""
        return self.verifier.known(key)

    async def ask(self, request: Request, key: str) -> Identity:
        """The same of a key that is not known."""
        address = client_address(request.remote, request.raw_headers, self.trusted)
        if address is None:
            return await self.verifier.verify(key)
        wait_ms = self.strikes.wait_ms(address)
        if wait_ms > 0:
            message = "Too many wrong API keys came from this address."
            raise Failure("rate_limit_exceeded", message, headers=retry_after(wait_ms))
        self.strikes.strike(address)  # before it is known: many may be on their way at once
        is_wrong = False
        try:
            return await self.verifier.verify(key)
        except Failure as failure:
            is_wrong = failure.code == "invalid_api_key"
            raise
        finally:
            if not is_wrong:
                self.strikes.forgive(address)
