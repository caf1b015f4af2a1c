"""A body is there at once, comes later, or does not come."""

import asyncio

import pytest

from runtime.http.body import RequestBody
from runtime.http.errors import BodyBroken, BodyTooLarge
from tests.support.asking import begin


def body_of(*pieces: bytes, max_bytes: int = 10) -> RequestBody:
    body = RequestBody(max_bytes)
    for piece in pieces:
        body.add(piece)
    return body


async def whole(body: RequestBody) -> bytes:
    await body.wait()
    return body.take()


@pytest.mark.parametrize("pieces", [(), (b"abc",), (b"a", b"bc"), (b"0123456789",)])
async def test_what_has_come_is_read(pieces: tuple[bytes, ...]) -> None:
    body = body_of(*pieces)
    body.end()
    assert body.is_complete and body.is_over
    assert body.take() == b"".join(pieces)


async def test_what_is_still_coming_is_waited_for() -> None:
    body = body_of(b"a")
    reading = begin(whole(body))
    await asyncio.sleep(0)
    body.add(b"b")
    await asyncio.sleep(0)
    assert not reading.done()
    body.end()
    assert await reading == b"ab"


async def test_too_much_is_said_as_soon_as_it_is() -> None:
    body = body_of(b"0123456789")
    reading = begin(whole(body))
    await asyncio.sleep(0)
    body.add(b"x")
    with pytest.raises(BodyTooLarge):
        await reading
    body.add(b"more of it")
    body.end()
    assert not body.is_complete and body.size_bytes == 11
    with pytest.raises(BodyTooLarge):
        body.take()


async def test_what_broke_off() -> None:
    body = body_of(b"abc")
    reading = begin(whole(body))
    await asyncio.sleep(0)
    body.fail()
    with pytest.raises(BodyBroken):
        await reading


async def test_what_is_complete_cannot_break_any_more() -> None:
    body = body_of(b"abc")
    body.end()
    body.fail()
    assert body.take() == b"abc"


async def test_who_stopped_waiting_is_not_woken() -> None:
    body = body_of()
    reading = begin(whole(body))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    body.end()
    assert body.take() == b""
