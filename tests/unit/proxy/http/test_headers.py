"""What passes in either direction, and what never does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.bucket import MINUTE_MS, Bucket
from proxy.http import headers
from proxy.http.headers import go_duration
from runtime.http.request import Headers

# RFC 9110, section 7.6.1, and the two that only proxies know.
HOP_BY_HOP = [
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Authenticate",
    b"Proxy-Authorization",
    b"Proxy-Connection",
    b"TE",
    b"Trailer",
    b"Transfer-Encoding",
    b"Upgrade",
]
NEVER_UP = [
    *HOP_BY_HOP,
    b"Authorization",
    b"X-Api-Key",
    b"Api-Key",
    b"Cookie",
    b"Host",
    b"Content-Length",
    b"Content-Encoding",
    b"Expect",
    b"Origin",
    b"X-Conversation-Id",
    b"X-Farebox-Anything",
]
NEVER_DOWN = [
    *HOP_BY_HOP,
    b"Authorization",
    b"X-Api-Key",
    b"WWW-Authenticate",
    b"Set-Cookie",
    b"Content-Length",
    b"Date",
    b"Server",
    b"Alt-Svc",
    b"Strict-Transport-Security",
    b"OpenAI-Organization",
    b"OpenAI-Project",
    b"X-Request-Id",
    b"X-RateLimit-Limit-Requests",
    b"x-ratelimit-remaining-tokens",
    b"anthropic-ratelimit-requests-limit",
    b"x-farebox-cost",
    b"Access-Control-Allow-Origin",
    b"access-control-allow-credentials",
]
TOKEN = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
VALUE = st.from_regex(rb"[ -~]{0,20}", fullmatch=True)
RAW = list[tuple[bytes, bytes]]


def up(raw: RAW, credential: str | None = None) -> dict[bytes, bytes]:
    return dict(headers.to_upstream(lowered(raw), credential=credential, request_id="ours"))


def down(raw: RAW, *, is_edited: bool = False) -> dict[str, str]:
    return dict(headers.to_client(lowered(raw), is_edited=is_edited))


def lowered(raw: RAW) -> RAW:
    """As from either connection's parser, which gives names in lower case."""
    return [(name.lower(), value) for name, value in raw]


def in_any_case(name: bytes) -> st.SearchStrategy[bytes]:
    return st.tuples(*(st.sampled_from([bytes([c]).lower(), bytes([c]).upper()]) for c in name)).map(b"".join)


def mixed(never: list[bytes]) -> st.SearchStrategy[RAW]:
    name = st.sampled_from(never).flatmap(in_any_case) | TOKEN
    return st.lists(st.tuples(name, VALUE), max_size=12)


@given(mixed(NEVER_UP))
def test_no_dropped_name_ever_passes_up(raw: RAW) -> None:
    passed = headers.to_upstream(lowered(raw), credential=None, request_id="ours")
    names = [name for name, _ in passed]
    assert all(name == name.lower() for name in names)
    assert not set(names) & {name.lower() for name in NEVER_UP}
    assert names.count(b"x-request-id") == names.count(b"accept-encoding") == 1


@given(mixed(NEVER_DOWN), st.booleans())
def test_no_dropped_name_ever_passes_down(raw: RAW, is_edited: bool) -> None:
    passed = down(raw, is_edited=is_edited)
    assert not {name.lower().encode() for name in passed} & {name.lower() for name in NEVER_DOWN}
    assert not [name for name in passed if name.startswith(("x-ratelimit-", "anthropic-ratelimit-", "x-farebox-"))]


@given(st.lists(TOKEN, min_size=1, max_size=4), st.sampled_from([b",", b", ", b" , ", b",,"]))
def test_what_connection_names_ends_here_in_either_direction(named: list[bytes], comma: bytes) -> None:
    raw = [(b"Connection", comma.join(named)), *((name.swapcase(), b"x") for name in named), (b"x-kept-by-us", b"1")]
    gone = {name.lower() for name in named} - {b"x-kept-by-us", b"accept-encoding", b"x-request-id"}
    assert not gone & up(raw).keys()
    assert not {name.decode() for name in gone} & down(raw).keys()


@given(st.lists(mixed(NEVER_UP), min_size=2, max_size=4))
def test_what_is_remembered_of_some_headers_says_nothing_of_others(several: list[RAW]) -> None:
    alone = []
    for raw in several:
        headers._known_places.cache_clear()
        alone.append(headers.to_upstream(lowered(raw), credential=None, request_id="ours"))
    assert [headers.to_upstream(lowered(raw), credential=None, request_id="ours") for raw in several] == alone


@pytest.mark.parametrize("count", [1, 1_000])
def test_of_headers_that_somebody_makes_up_little_is_kept(count: int) -> None:
    long = [(b"x-%d-%d" % (count, number), b"1") for number in range(500)]
    passed = headers.to_upstream([*long, (b"cookie", b"x")], credential=None, request_id="ours")
    assert passed[:-2] == long
    assert headers._known_places.cache_info().currsize <= 512


def test_several_connection_headers_are_one_list() -> None:
    raw = [(b"connection", b"x-one"), (b"x-one", b"1"), (b"x-two", b"2"), (b"connection", b"close, X-Two")]
    assert down(raw) == {}
    assert up(raw).keys() == {b"accept-encoding", b"x-request-id"}


def test_what_is_the_clients_own_passes_up_as_it_is() -> None:
    raw = [(b"OpenAI-Beta", b"v2"), (b"User-Agent", b"caf\xe9"), (b"Accept", b"a"), (b"Accept", b"b")]
    passed = headers.to_upstream(lowered(raw), credential=None, request_id="ours")
    assert passed[:4] == [(b"openai-beta", b"v2"), (b"user-agent", b"caf\xe9"), (b"accept", b"a"), (b"accept", b"b")]


def test_the_upstream_gets_its_own_credential_our_id_and_no_wish_for_compression() -> None:
    raw = [(b"Authorization", b"Bearer pp_live-x"), (b"X-Request-Id", b"theirs"), (b"Accept-Encoding", b"gzip, br")]
    assert up(raw, "sk-upstream") == {
        b"authorization": b"Bearer sk-upstream",
        b"x-request-id": b"ours",
        b"accept-encoding": b"identity",
    }
    assert b"authorization" not in up(raw)


def test_what_is_the_upstreams_own_passes_down_as_it_is() -> None:
    raw = [(b"content-type", b"text/event-stream"), (b"openai-processing-ms", b"12"), (b"vary", b"a"), (b"vary", b"b")]
    passed = headers.to_client(raw, is_edited=True)
    assert passed == [(name.decode(), value.decode()) for name, value in raw]


@pytest.mark.parametrize("name", [b"etag", b"digest", b"content-md5", b"content-digest", b"repr-digest"])
def test_a_digest_passes_only_with_the_body_it_is_of(name: bytes) -> None:
    assert down([(name, b"abc")]) == {name.decode(): "abc"}
    assert down([(name, b"abc")], is_edited=True) == {}


@given(st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"])))
def test_a_value_in_utf_8_comes_out_as_the_same_bytes(text: str) -> None:
    """Headers are written in UTF-8."""
    assert down([(b"x-name", text.encode())])["x-name"].encode() == text.encode()


def test_a_value_in_latin_1_stays_readable() -> None:
    assert down([(b"x-name", b"caf\xe9")]) == {"x-name": "café"}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"job-17", "job-17"),
        (b"", None),
        ("ünï".encode(), "ünï"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"x" * 500, "x" * 128),
    ],
)
def test_the_clients_own_id_is_text_of_a_bounded_length(value: bytes, kept: str | None) -> None:
    assert headers.client_request_id(Headers([(b"accept", b"*/*"), (b"x-client-request-id", value)])) == kept


@given(st.binary())
def test_whatever_the_clients_id_is_it_can_be_written_down(value: bytes) -> None:
    kept = headers.client_request_id(Headers([(b"x-client-request-id", value)]))
    assert kept is None or kept.encode()


def test_a_client_without_an_id_of_its_own() -> None:
    assert headers.client_request_id(Headers([(b"accept", b"*/*")])) is None


def test_rate_limits_are_the_keys_own() -> None:
    bucket = Bucket(60, MINUTE_MS, 59 * MINUTE_MS + 30_000)
    assert headers.rate_limit(bucket) == [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "500ms"),
    ]


@pytest.mark.parametrize(
    ("wait_ms", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (1, "1ms"),
        (999, "999ms"),
        (1_000, "1s"),
        (1_500, "1.5s"),
        (1_001, "1.001s"),
        (10_000, "10s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (360_000, "6m0s"),
        (61_250, "1m1.25s"),
        (3_600_000, "1h0m0s"),
        (3_605_000, "1h0m5s"),
        (86_400_000, "24h0m0s"),
    ],
)
def test_durations_as_openai_writes_them(wait_ms: int, text: str) -> None:
    assert go_duration(wait_ms) == text


@given(st.integers(0, 10**9))
def test_a_duration_is_read_back_exactly(wait_ms: int) -> None:
    units = {"h": 3_600_000, "m": 60_000, "s": 1_000}
    text = go_duration(wait_ms)
    if text.endswith("ms"):
        assert int(text.removesuffix("ms")) == wait_ms
        return
    total = 0.0
    for unit, factor in units.items():
        number, found, rest = text.partition(unit)
        if found:
            total, text = total + float(number) * factor, rest
    assert round(total) == wait_ms and text == ""


def test_what_the_operator_adds_takes_the_place_of_what_else_has_its_name() -> None:
    raw = [(b"x-org", b"of-the-client"), (b"x-org", b"again"), (b"x-kept", b"1")]
    added = [(b"x-org", b"ours"), (b"authorization", b"Basic abc")]
    passed = headers.to_upstream(raw, credential="sk", request_id="r", added=added)
    assert [value for name, value in passed if name == b"x-org"] == [b"ours"]
    assert [value for name, value in passed if name == b"authorization"] == [b"Basic abc"]
    assert (b"x-kept", b"1") in passed
