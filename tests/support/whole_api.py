"""A program with everything of the account API configured, beside a fake Stripe that needs no loop of the test's."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from tests.support.fake_stripe import SECRET_KEY, SIGNING_SECRET, fake_stripe
from tests.support.program import JWT_SECRET

ADMIN = UUID("0a0a0a0a-0000-4000-8000-000000000001")


@contextmanager
def stripe_in_a_thread() -> Iterator[str]:
    """Its address."""
    address: list[str] = []
    is_up, loop, end = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with fake_stripe() as fake:
            address.append(fake.url)
            is_up.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="fake-stripe")
    thread.start()
    try:
        assert is_up.wait(20)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


def everything(stripe_url: str) -> dict[str, dict[str, Any]]:
    """Sections of the configuration."""
    return {
        "identity": {"jwt_secret": JWT_SECRET, "admin_user_ids": [str(ADMIN)]},
        "stripe": {"secret_key": SECRET_KEY, "api_base": stripe_url, "webhook_secrets": [SIGNING_SECRET]},
        "log": {"level": "debug"},
    }
