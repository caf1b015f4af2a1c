"""What may pass, in either direction.

Hop-by-hop headers end here (RFC 9110, section 7.6.1), and so do credentials: the client's never reach the upstream,
the upstream's never the client. Limits shown to the client are its own, not those of the account behind us.
"""

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter

from metering.bucket import Bucket
from runtime.http.request import Headers

RawHeaders = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    (
        b"close",
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Ours to say, or the client's secret: set anew or left out. llama.cpp keeps generating for a client that left if
# it sees `x-conversation-id`.
_NOT_TO_UPSTREAM = _HOP_BY_HOP | frozenset(
    (
        b"accept-encoding",
        b"api-key",
        b"authorization",
        # undone by the time we have read the body
        b"content-encoding",
        b"content-length",
        b"cookie",
        b"expect",
        b"host",
        # which page calls is judged here; Ollama refuses those that it does not know
        b"origin",
        b"x-api-key",
        b"x-conversation-id",
        b"x-request-id",
    )
)
# The connection's own, the framing's own, or about the account behind us.
_NOT_TO_CLIENT = _HOP_BY_HOP | frozenset(
    (
        b"alt-svc",
        b"authorization",
        b"content-length",
        b"date",
        b"openai-organization",
        b"openai-project",
        b"server",
        b"set-cookie",
        b"strict-transport-security",
        b"www-authenticate",
        b"x-api-key",
        b"x-request-id",
    )
)
# Digests of a body that we may have shortened.
_DIGESTS = frozenset((b"content-digest", b"content-md5", b"digest", b"etag", b"repr-digest"))
_NOT_TO_EDITED = _NOT_TO_CLIENT | _DIGESTS
# Nearly every `Connection` header; what it names ends here in any case.
_SAY_NOTHING = frozenset((b"keep-alive", b"Keep-Alive", b"close"))
_name_of = itemgetter(0)
_SERVER_PREFIXES_DROPPED = (b"x-farebox-",)
# Which pages may call is ours to say: vLLM allows all.
_CLIENT_PREFIXES_DROPPED = (b"x-ratelimit-", b"anthropic-ratelimit-", b"x-farebox-", b"access-control-")
MAX_CLIENT_ID_CHARS = 128
# Which headers a client, or a server, sends: of so many kinds of them at most, each no longer than this, it is
# remembered what passes. Programs send about twenty, of 300 bytes.
_KNOWN_NAMES = 512
_MAX_NAMES_BYTES = 1024


def to_upstream(
    raw: Sequence[tuple[bytes, bytes]],
    *,
    credential: str | None,
    request_id: str,
    credential_header: bytes = b"authorization",
    added: Sequence[tuple[bytes, bytes]] = (),
) -> RawHeaders:
    """The request headers to send on; `raw` has its names in lower case. The upstream is asked not to compress.

    `added` is the operator's own, and takes the place of what else has its name.
    """
    passed = [raw[place] for place in _passing(raw, _NOT_TO_UPSTREAM, _SERVER_PREFIXES_DROPPED)]
    passed.append((b"accept-encoding", b"identity"))
    passed.append((b"x-request-id", request_id.encode()))
    if credential:
        passed.append(credential_as(credential_header, credential))
    if added:
        names = {name for name, _ in added}
        passed = [header for header in passed if header[0] not in names]
        passed.extend(added)
    return passed


def credential_as(header: bytes, credential: str) -> tuple[bytes, bytes]:
    scheme = b"Bearer " if header == b"authorization" else b""
    return header, scheme + credential.encode()


def to_client(raw: Sequence[tuple[bytes, bytes]], *, is_edited: bool) -> list[tuple[str, str]]:
    """The response headers to pass on; `raw` has its names in lower case."""
    dropped = _NOT_TO_EDITED if is_edited else _NOT_TO_CLIENT
    passed = [raw[place] for place in _passing(raw, dropped, _CLIENT_PREFIXES_DROPPED)]
    return [(name.decode("latin-1"), _text(value)) for name, value in passed]


def client_request_id(sent: Headers) -> str | None:
    """`x-client-request-id` as it is kept, in JSON: 128 characters at most, and bytes that are no text are replaced."""
    value = sent.get_raw(b"x-client-request-id")
    return None if value is None else value.decode("utf-8", "replace")[:MAX_CLIENT_ID_CHARS] or None


def _text(value: bytes) -> str:
    """As it will be written, in UTF-8: what is UTF-8 already comes out as it was."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _passing(
    raw: Sequence[tuple[bytes, bytes]], dropped: frozenset[bytes], beginnings: tuple[bytes, ...]
) -> Sequence[int]:
    """The places of those that pass. Who sends the same headers each time, as nearly all do, has that decided once."""
    names = b":".join(map(_name_of, raw))
    all_dropped = _with_named_in_connection(dropped, raw) if names.find(b"connection") >= 0 else dropped
    is_usual = all_dropped is dropped and len(names) <= _MAX_NAMES_BYTES
    return (_known_places if is_usual else _places)(names, all_dropped, beginnings)


def _places(names: bytes, dropped: frozenset[bytes], beginnings: tuple[bytes, ...]) -> tuple[int, ...]:
    separate = names.split(b":") if names else []
    return tuple([at for at, name in enumerate(separate) if name not in dropped and not name.startswith(beginnings)])


_known_places = lru_cache(_KNOWN_NAMES)(_places)


def _with_named_in_connection(dropped: frozenset[bytes], raw: Sequence[tuple[bytes, bytes]]) -> frozenset[bytes]:
    for name, value in raw:
        if name == b"connection" and value not in _SAY_NOTHING:
            dropped = dropped | frozenset(token.strip().lower() for token in value.split(b","))
    return dropped


_OF_REQUESTS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
_OF_TOKENS = ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens")


def rate_limit(bucket: Bucket, *, is_of_tokens: bool = False) -> list[tuple[str, str]]:
    """`x-ratelimit-*-requests` of the key's own minute bucket, or `-tokens`, in OpenAI's format."""
    limit, remaining, reset = _OF_TOKENS if is_of_tokens else _OF_REQUESTS
    return [(limit, str(bucket.capacity)), (remaining, str(bucket.remaining)), (reset, go_duration(bucket.full_in_ms))]


def go_duration(wait_ms: int) -> str:
    """Milliseconds as OpenAI writes them: `0s`, `12ms`, `1.5s`, `6m0s`, `1h0m5s`."""
    if wait_ms <= 0:
        return "0s"
    if wait_ms < 1000:
        return f"{wait_ms}ms"
    minutes, rest_ms = divmod(wait_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds
