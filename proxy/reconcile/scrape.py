"""The counters of an upstream, read now: over HTTP, within bounds."""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ledger.billed import Window
from metering.counters import CountersError, Page, read_page
from proxy.reconcile.errors import ReconcileError
from proxy.reconcile.snapshots import Scraped, Snapshot
from proxy.upstream.tls import TlsFileError, context_of
from runtime.clock import wall_ms
from runtime.settings import Upstream

# vLLM's page with every histogram has some hundred kilobytes.
MAX_PAGE_BYTES = 8 << 20
TIMEOUT_S = 10.0
MAX_PAGES = 64
_ACCEPT = "text/plain;version=0.0.4"


def metrics_url_of(upstream: Upstream) -> str:
    """Where all the servers that we know publish them: at the origin, whatever the path of their API."""
    return f"{_origin(str(upstream.url))}/metrics"


async def scrape(upstream: Upstream, urls: Sequence[str] = ()) -> Snapshot:
    """Every page at once; `urls` where there are several servers, or the page is elsewhere. Raises ReconcileError."""
    chosen = tuple(urls) or (metrics_url_of(upstream),)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    begun_ms = wall_ms()
    # a socket leads to this one server, whatever address is asked for on it
    socket = None if urls or upstream.unix_socket is None else aiohttp.UnixConnector(str(upstream.unix_socket))
    async with aiohttp.ClientSession(connector=socket, timeout=timeout, trust_env=False, auto_decompress=True) as http:
        pages = await asyncio.gather(*(_page(http, upstream, url) for url in chosen))
    scraped = tuple(Scraped(url, page) for url, page in zip(chosen, pages, strict=True))
    return Snapshot(upstream.name, Window(begun_ms, wall_ms()), scraped)


async def _page(http: aiohttp.ClientSession, upstream: Upstream, url: str) -> Page:
    try:
        how: dict[str, Any] = {"headers": _headers(upstream, url), "allow_redirects": False} | _tls(upstream, url)
        async with http.get(url, **how) as answer:
            if answer.status != 200:
                raise ReconcileError(f"{url}: answers {answer.status}")
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > MAX_PAGE_BYTES:
                    raise ReconcileError(f"{url}: more than {MAX_PAGE_BYTES} bytes")
        return read_page(body.decode(), upstream.kind)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ReconcileError(f"{url}: cannot be read ({type(error).__name__})") from None
    except UnicodeDecodeError:
        raise ReconcileError(f"{url}: not a page of metrics") from None
    except (CountersError, TlsFileError) as error:
        raise ReconcileError(f"{url}: {error}") from None


def _headers(upstream: Upstream, url: str) -> dict[str, str]:
    """The upstream's own credential goes to the upstream only: llama.cpp wants it for this page too."""
    headers = {"Accept": _ACCEPT}
    if upstream.api_key is not None and _origin(url) == _origin(str(upstream.url)):
        headers["Authorization"] = f"Bearer {upstream.api_key.get_secret_value()}"
    return headers


def _tls(upstream: Upstream, url: str) -> dict[str, Any]:
    """aiohttp's words for the upstream's own authorities, certificate and name, which are for the upstream only."""
    if not upstream.is_tls or _origin(url) != _origin(str(upstream.url)):
        return {}
    return {"ssl": context_of(upstream.tls), "server_hostname": upstream.tls.server_name}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
