"""Origins out of URLs, heads out of requests, and everything that must never reach the wire."""

import pytest

from proxy.upstream.request import ForwardProxy, Origin, UpstreamRequest, encode_head, parse_origin

ORIGIN = Origin("http", "127.0.0.1", 9000, "/v1")


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://127.0.0.1:9000", Origin("http", "127.0.0.1", 9000), "127.0.0.1:9000"),
        ("http://vllm/v1", Origin("http", "vllm", 80, "/v1"), "vllm"),
        ("http://vllm/v1/", Origin("http", "vllm", 80, "/v1"), "vllm"),
        ("HTTP://VLLM/V1", Origin("http", "vllm", 80, "/V1"), "vllm"),
        ("https://api.example.com", Origin("https", "api.example.com", 443), "api.example.com"),
        ("https://api.example.com:443/", Origin("https", "api.example.com", 443), "api.example.com"),
        ("https://api.example.com:80", Origin("https", "api.example.com", 80), "api.example.com:80"),
        ("http://llm_server_1:8000/a/b//", Origin("http", "llm_server_1", 8000, "/a/b"), "llm_server_1:8000"),
        ("http://[::1]:8080/v1", Origin("http", "::1", 8080, "/v1"), "[::1]:8080"),
        ("http://[0:0:0:0:0:0:0:1]", Origin("http", "::1", 80), "[::1]"),
        ("http://host/v1/?a=1&b=2", Origin("http", "host", 80, "/v1", "a=1&b=2"), "host"),
        ("http://host/v1?", Origin("http", "host", 80, "/v1"), "host"),
    ],
)
def test_a_url_names_an_origin(url: str, origin: Origin, authority: str) -> None:
    assert parse_origin(url) == origin
    assert origin.authority == authority


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("127.0.0.1:9000", "must begin with http"),
        ("ftp://host/x", "must begin with http"),
        ("http+unix://%2Ftmp%2Fllm.sock", "must begin with http"),
        ("http://user:hunter2@host/v1", "credentials"),
        ("http://hunter2@host/v1", "credentials"),
        ("http://host/v1#hunter2", "fragment"),
        ("http://host/v1?a=1#hunter2", "fragment"),
        ("http://", "needs a host"),
        ("http://:9000", "needs a host"),
        ("http://ho*st/", "needs a host"),
        ("http://-host/", "needs a host"),
        ("http://[::1%25eth0]/", "needs a host"),
        ("http://[nonsense]/", "valid host"),
        ("http://host:hunter2/", "valid host and a port"),
        ("http://host:70000/", "valid host and a port"),
        ("http://host:0/", "port from 1 to 65535"),
        ("http://ho st/", "printable ASCII"),
        ("http://host/v1\r\nx: hunter2", "printable ASCII"),
        ("http://h\u00f6st/", "printable ASCII"),
        ("http://host/v1\t", "printable ASCII"),
        ("", "must begin with http"),
    ],
)
def test_a_bad_url_is_refused_without_being_repeated(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        parse_origin(url)
    assert "hunter2" not in str(refusal.value)


def test_the_head_is_framed_by_us() -> None:
    request = UpstreamRequest(
        "POST", "/chat/completions", [(b"Authorization", b"Bearer x"), (b"accept", b"*/*")], b"{}"
    )
    assert encode_head(request, ORIGIN) == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        b"host: 127.0.0.1:9000\r\n"
        b"connection: keep-alive\r\n"
        b"Authorization: Bearer x\r\n"
        b"accept: */*\r\n"
        b"content-length: 2\r\n"
        b"\r\n"
    )


def test_a_request_without_a_body_names_a_length_only_where_one_is_expected() -> None:
    head = encode_head(UpstreamRequest("GET", "/models", []), ORIGIN)
    assert b"content-length" not in head and head.endswith(b"\r\nconnection: keep-alive\r\n\r\n")
    assert b"content-length: 0\r\n" in encode_head(UpstreamRequest("POST", "/models", []), ORIGIN)


def first_lines(origin: Origin, path: str = "/chat", *, is_rooted: bool = False) -> list[bytes]:
    return encode_head(UpstreamRequest("GET", path, [], is_rooted=is_rooted), origin).split(b"\r\n")[:3]


def test_the_query_of_a_server_goes_with_every_request() -> None:
    azure = parse_origin("https://a.example/openai/deployments/d?api-version=2024-10-21")
    line, host, _ = first_lines(azure)
    assert line == b"GET /openai/deployments/d/chat?api-version=2024-10-21 HTTP/1.1"
    assert host == b"host: a.example"
    assert first_lines(azure, "/x?y=1", is_rooted=True)[0] == b"GET /x?y=1&api-version=2024-10-21 HTTP/1.1"


def test_a_proxy_is_told_the_whole_address_of_a_plain_request() -> None:
    proxy = ForwardProxy("proxy", 3128, "Basic aHVudGVyMg==")
    assert first_lines(Origin("http", "llm", 8000, "/v1", "a=1", proxy)) == [
        b"GET http://llm:8000/v1/chat?a=1 HTTP/1.1",
        b"host: llm:8000",
        b"proxy-authorization: Basic aHVudGVyMg==",
    ]
    assert first_lines(Origin("http", "llm", 80, proxy=ForwardProxy("proxy", 3128)))[2] == b"connection: keep-alive"


def test_a_proxy_is_told_nothing_of_what_is_encrypted() -> None:
    origin = Origin("https", "llm", 443, "/v1", proxy=ForwardProxy("proxy", 3128, "Basic aHVudGVyMg=="))
    assert first_lines(origin) == [b"GET /v1/chat HTTP/1.1", b"host: llm", b"connection: keep-alive"]


def test_no_secret_shows_in_where_a_server_is() -> None:
    origin = Origin("http", "llm", 80, "/v1", "key=hunter2", ForwardProxy("proxy", 1, "Basic hunter2"))
    assert "hunter2" not in repr(origin) + str(origin)


def test_a_query_is_part_of_the_path() -> None:
    head = encode_head(UpstreamRequest("GET", "/models?limit=2", []), ORIGIN)
    assert head.startswith(b"GET /v1/models?limit=2 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "path", ["", "models", "/a b", "/a\r\nx: y", "/a\0", "/a\n", "/\u00e9", "/a#b", "http://other/"]
)
def test_a_path_that_could_break_the_request_line_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        encode_head(UpstreamRequest("GET", path, []), ORIGIN)


@pytest.mark.parametrize("method", ["", "get", "HEAD", "CONNECT", "GET ", "G\r\nET", "GET\n"])
def test_a_method_we_cannot_frame_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="method"):
        encode_head(UpstreamRequest(method, "/", []), ORIGIN)


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"a\0", b"\xc3\xa9", b"a\n"])
def test_a_header_name_that_is_no_token_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="header name"):
        encode_head(UpstreamRequest("GET", "/", [(b"accept", b"x"), (name, b"x"), (b"via", b"x")]), ORIGIN)


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\rb", b"a\nb", b"\0", b"a\n"])
def test_a_header_value_that_could_split_the_message_is_refused_and_not_repeated(value: bytes) -> None:
    with pytest.raises(ValueError, match="value of a header holds CR, LF or NUL"):
        encode_head(UpstreamRequest("GET", "/", [(b"accept", b"x"), (b"X-Note", value), (b"via", b"x")]), ORIGIN)


@pytest.mark.parametrize("name", [b"Host", b"content-length", b"CONNECTION", b"Transfer-Encoding", b"Upgrade"])
def test_a_header_that_frames_the_message_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="is set by the upstream connection itself"):
        encode_head(UpstreamRequest("POST", "/", [(name, b"7")], b"body"), ORIGIN)
