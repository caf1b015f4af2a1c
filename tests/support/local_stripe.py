"""localstripe, another's model of Stripe, as a child process: customers, cards, payment intents, signed webhooks.

    python -m tests.support.local_stripe      prints its port

It listens where it is told to and keeps nothing on disk, which its own command does not offer. It is older than the API
that our SDK speaks: the one field that has been renamed since is renamed back, all else passes as it is. It knows no
checkout pages and no idempotency keys; for those there is `fake_stripe`.
"""

import asyncio
import select
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from aiohttp import web

START_TIMEOUT_S = 30.0
SIGNING_SECRET = "whsec_of_localstripe"
# What becomes of a card with this number, as Stripe documents it.
GOOD_CARD, DECLINED_CARD, CAREFUL_CARD = "4242424242424242", "4000000000000341", "4000002500003155"


class LocalStripe:
    """`url` is what the SDK is told; the methods are what a shop's page and its owner would do."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def post(self, path: str, **fields: str) -> dict[str, Any]:
        async with self._http.post(self.url + path, data=fields) as answer:
            made: dict[str, Any] = await answer.json() if path.startswith("/v1/") else {}
            assert answer.status == 200, made
            return made

    async def save_card(self, customer_id: str, number: str) -> str:
        card = {"card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2031", "card[cvc]": "123"}
        method = await self.post("/v1/payment_methods", type="card", **card)
        await self.post(f"/v1/payment_methods/{method['id']}/attach", customer=customer_id)
        return str(method["id"])

    async def deliver_to(self, url: str) -> None:
        """From now on every event goes there, signed with SIGNING_SECRET."""
        await self.post("/_config/webhooks/ours", url=url, secret=SIGNING_SECRET)


@contextmanager
def local_stripe_process() -> Iterator[str]:
    """Its address. Waits without a loop: a fixture of a module has none."""
    child = subprocess.Popen([sys.executable, "-m", "tests.support.local_stripe"], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], START_TIMEOUT_S)
        assert ready, "localstripe did not start"
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
    finally:
        child.kill()
        child.communicate()


@asynccontextmanager
async def local_stripe(url: str, secret_key: str) -> AsyncIterator[LocalStripe]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret_key}"}) as http:
        yield LocalStripe(url, http)


async def _serve() -> None:
    from localstripe import resources, server  # type: ignore[import-untyped]  # only the child needs it

    create = resources.PaymentIntent._api_create

    def create_as_before(allowed_payment_method_types: Any = None, **fields: Any) -> Any:
        return create(payment_method_types=allowed_payment_method_types, **fields)

    resources.PaymentIntent._api_create = create_as_before
    resources.Store.dump_to_disk = lambda self: None  # a file that all who run it on a machine would share
    runner = web.AppRunner(server.app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
