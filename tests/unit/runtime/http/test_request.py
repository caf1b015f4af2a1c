"""A request as its handler sees it."""

import gzip

import pytest

from runtime.http.errors import BodyBroken
from runtime.http.request import HTTP_1_0, Headers, Request, path_of
from tests.support.requests import headers_of, made_request


def test_headers_are_found_in_any_case_and_the_first_of_several_counts() -> None:
    headers = Headers([(b"x-a", b"1"), (b"x-b", b"\xc3\xbc"), (b"x-a", b"2"), (b"x-c", b"\xff")])
    assert (headers.get("X-A"), headers.get("x-b"), headers.get_raw(b"x-a")) == ("1", "ü", b"1")
    assert headers.get("x-c") == "\udcff"
    assert (headers.get("x-d"), headers.get("x-d", "")) == (None, "")
    assert headers.has_twins and not headers_of({"A": "1", "b": "2"}).has_twins


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"/a/b?c=d", "/a/b"),
        (b"/a%20b%2Fc", "/a%20b%2Fc"),
        (b"/%C3%BC", "/%C3%BC"),
        (b"/a#b?c", "/a"),
        (b"http://farebox/a?b", "/a"),
        (b"http://farebox:80", "/"),
        (b"http://farebox?b", "/"),
        (b"*", "*"),
        (b"/../a", "/../a"),
        (b"//a", "//a"),
        (b"/a?http://b/c", "/a"),
        (b"/%61" + b"a" * 200 + b"?b", "/%61" + "a" * 200),
    ],
)
def test_the_path(target: bytes, path: str) -> None:
    assert path_of(target) == (path if path[0] in "/*" else f"/{path}")


def test_the_query_is_decoded_in_order_and_keeps_what_comes_twice() -> None:
    request = made_request(target="/a?b=1&c=%C3%BC+d&b=&e#f=g")
    assert request.query == [("b", "1"), ("c", "ü d"), ("b", ""), ("e", "")]
    assert made_request(target="/a").query == []


@pytest.mark.parametrize(
    ("said", "content_type"),
    [
        ({}, "application/octet-stream"),
        ({"content-type": "Text/Plain; charset=utf-8"}, "text/plain"),
        ({"content-type": " "}, "application/octet-stream"),
    ],
)
def test_the_content_type(said: dict[str, str], content_type: str) -> None:
    assert made_request(headers=said).content_type == content_type


async def test_a_packed_body_is_unpacked_also_a_long_one() -> None:
    for text in (b"hello", bytes(range(256)) * 4000):
        packed = gzip.compress(text, compresslevel=0)
        assert await made_request(headers={"content-encoding": "gzip"}, body=packed).read() == text


async def test_a_packed_body_that_is_not() -> None:
    with pytest.raises(BodyBroken):
        await made_request(headers={"content-encoding": "gzip"}, body=b"x").read()
    assert await made_request(headers={"content-encoding": "gzip"}).read() == b""


@pytest.mark.parametrize(("expect", "waits"), [("100-continue", True), ("100-Continue", True), ("a word", False)])
def test_who_waits_before_the_body(expect: str, waits: bool) -> None:
    request = made_request(headers={"expect": expect})
    assert request.expects_continue is waits
    old = Request("POST", b"/", request.headers, request.body, version=HTTP_1_0)
    assert not old.expects_continue


def test_who_is_connected() -> None:
    assert made_request(remote="192.0.2.7").remote == "192.0.2.7"
