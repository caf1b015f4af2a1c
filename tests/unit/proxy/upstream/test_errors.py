"""What an error says about the request decides whether it may be sent elsewhere."""

import pytest

from proxy.upstream.errors import (
    Phase,
    UpstreamBusy,
    UpstreamClosed,
    UpstreamConnectError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
)


@pytest.mark.parametrize(
    ("error", "request_sent"),
    [
        (UpstreamConnectError("refused"), False),
        (UpstreamBusy("queue full"), False),
        (UpstreamTimeout(Phase.CONNECT, 5.0), False),
        (UpstreamTimeout(Phase.WRITE, 120.0), True),
        (UpstreamTimeout(Phase.FIRST_BYTE, 600.0), True),
        (UpstreamTimeout(Phase.IDLE, 120.0), True),
        (UpstreamProtocolError("not HTTP"), True),
        (UpstreamClosed("gone", headers_received=False), True),
        (UpstreamClosed("gone", headers_received=True), True),
    ],
    ids=repr,
)
def test_says_whether_the_request_may_have_arrived(error: UpstreamError, request_sent: bool) -> None:
    assert isinstance(error, UpstreamError)
    assert error.request_sent is request_sent


def test_a_timeout_says_what_it_waited_for_and_how_long() -> None:
    error = UpstreamTimeout(Phase.FIRST_BYTE, 600.0)
    assert error.phase == "first_byte"
    assert str(error) == "upstream timed out (first_byte) after 600 s"


def test_a_closed_connection_says_whether_a_response_had_begun() -> None:
    assert UpstreamClosed("gone", headers_received=True).headers_received
    assert not UpstreamClosed("gone", headers_received=False).headers_received
