"""An event, posted to an operator's endpoint. What it answers is not read: the status alone counts."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from accounts.notices.signing import Event, body_of, signed_headers
from accounts.notices.worker import Undelivered
from runtime.clock import ClockMs, wall_ms
from runtime.settings import WebhookEndpoint
from runtime.settings.notices import secret_bytes

_HEADERS = {"content-type": "application/json", "user-agent": "farebox-webhooks"}
# The receiver says that it is gone for good (Standard Webhooks, "Delivery").
_GONE = 410
_MAX_WAIT_DIGITS = 6


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """For all endpoints: no cookies, no proxies from the environment; each worker bounds its own connections."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )
    async with session:
        yield session


class WebhookSender:
    """Signs and posts. Redirects are not followed: a signed body goes where the configuration says, or nowhere."""

    def __init__(
        self,
        endpoint: WebhookEndpoint,
        session: aiohttp.ClientSession,
        *,
        clock_ms: ClockMs = wall_ms,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self._url = endpoint.url
        self._secrets = [secret_bytes(secret) for secret in endpoint.secrets]
        self._timeout = aiohttp.ClientTimeout(total=endpoint.timeout_s)
        self._session = session
        self._clock_ms = clock_ms
        self._tls = tls

    async def send(self, event: Event) -> None:
        """Raises Undelivered unless the endpoint answers 2xx in time."""
        body = body_of(event)
        headers = _HEADERS | signed_headers(event.id, self._clock_ms() // 1000, body, self._secrets)
        try:
            answer = await self._session.post(
                self._url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False, ssl=self._tls
            )
        except TimeoutError:
            raise Undelivered("timeout") from None
        except aiohttp.ClientSSLError:
            raise Undelivered("tls") from None
        except aiohttp.ClientConnectorError:
            raise Undelivered("connect") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise Undelivered("broken_answer") from None
        # The body may be endless: the connection goes, and it with it.
        answer.close()
        _judge(answer.status, answer.headers.get("Retry-After", ""))


def _judge(status: int, retry_after: str) -> None:
    if 200 <= status < 300:
        return
    is_wait = retry_after.isascii() and retry_after.isdecimal() and len(retry_after) <= _MAX_WAIT_DIGITS
    raise Undelivered(f"status_{status}", is_final=status == _GONE, asked_s=float(retry_after) if is_wait else None)
