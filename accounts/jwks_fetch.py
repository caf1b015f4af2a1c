"""An identity provider's key set over HTTP. Imported only where there is an address for it: aiohttp takes its time."""

import aiohttp

from accounts.jwk_set import JwksError

FETCH_TIMEOUT_S = 5.0
# A key with its certificate chain has up to 4 KiB; 64 of them fit.
MAX_BODY_BYTES = 256 << 10
_CHUNK_BYTES = 16 << 10


async def fetch_jwks(url: str, timeout_s: float = FETCH_TIMEOUT_S) -> bytes:
    """The key set's text; raises JwksError.

    A redirect is no answer: the address in the config is the one that was checked. A compressed body is none either,
    for its size would say nothing.
    """
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"accept": "application/json", "accept-encoding": "identity"},
            ) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise JwksError(f"status_{response.status}")
            return await _bounded(response.content)
    except TimeoutError:
        raise JwksError("timeout") from None
    except (aiohttp.ClientError, OSError):
        raise JwksError("unreachable") from None


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise JwksError("too_large")
    return bytes(body)
