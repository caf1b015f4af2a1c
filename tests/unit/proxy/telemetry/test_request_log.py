"""One line a request: what it says, when it is a warning, what it never says."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from metering.usage import Usage
from proxy.failures import Failure
from proxy.settlement import Ending, charged_entry
from proxy.telemetry import request_log
from proxy.telemetry.pace import Pace
from proxy.upstream.errors import Phase, UpstreamClosed, UpstreamTimeout
from tests.support.calls import IDENTITY, REQUEST_ID, admitted
from tests.support.gateway import EVENTS, GOOD, JSON, Rig

SLOW_MS = 1_000


def told(ending: Ending, pace: Pace | None = None, duration_ms: int = 5, **body: Any) -> dict[str, Any]:
    was = admitted("job-17", **body)
    entry = charged_entry(was, ending, Usage(input_tokens=3, output_tokens=2), "reported", duration_ms)
    with capture_logs() as lines:
        request_log.ended(was, ending, entry, pace or Pace(), SLOW_MS)
    (line,) = lines
    return dict(line)


async def test_who_asked_what_and_how_it_went() -> None:
    pace = Pace()
    pace.sent_ns = pace.began_ns + 1_500_000
    pace.close(pace.began_ns + 4_500_000)
    line = told(Ending("completed", 200), pace)
    assert (line["request_id"], line["client_request_id"]) == (str(REQUEST_ID), "job-17")
    assert (line["user_id"], line["key_id"]) == (str(IDENTITY.user_id), str(IDENTITY.key_id))
    assert (line["model"], line["upstream"], line["streamed"]) == ("tiny", "default", False)
    assert (line["added_ms"], line["first_byte_ms"], line["duration_ms"]) == (1.5, 3.0, 5)
    assert (line["log_level"], line["slow"], line["error"]) == ("info", None, None)


async def test_a_whole_answer_is_slow_when_all_of_it_took_long() -> None:
    assert told(Ending("completed", 200), duration_ms=SLOW_MS - 1)["log_level"] == "info"
    line = told(Ending("completed", 200), duration_ms=SLOW_MS)
    assert (line["log_level"], line["slow"]) == ("warning", True)


async def test_a_stream_is_slow_when_it_began_late_and_not_when_it_was_long() -> None:
    pace = Pace()
    pace.sent_ns = pace.began_ns + 1
    pace.close(pace.began_ns + 10_000_000)
    assert told(Ending("completed", 200), pace, duration_ms=60_000, stream=True)["slow"] is None
    pace.close(pace.began_ns + 1_100_000_000)
    assert told(Ending("completed", 200), pace, duration_ms=1_200, stream=True)["slow"] is True


async def test_a_client_that_sends_slowly_makes_nothing_slow() -> None:
    pace = Pace()
    pace.uploading_ns = 5_000_000_000
    line = told(Ending("completed", 200), pace, duration_ms=5_100)
    assert (line["slow"], line["uploading_ms"]) == (None, 5_000)


async def test_what_failed_through_no_fault_of_the_clients_is_a_warning() -> None:
    line = told(Ending("upstream_timeout", 504, "…", "UpstreamTimeout first_byte"))
    assert (line["log_level"], line["error"]) == ("warning", "UpstreamTimeout first_byte")
    assert told(Ending("client_left", 499))["log_level"] == "info"


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (None, None),
        (UpstreamTimeout(Phase.FIRST_BYTE, 9), "UpstreamTimeout first_byte"),
        (UpstreamClosed("10.1.2.3 closed the connection", headers_received=False), "UpstreamClosed"),
        (OSError("a message with a secret"), "OSError"),
    ],
)
def test_a_fault_is_named_by_its_kind(error: BaseException | None, fault: str | None) -> None:
    assert request_log.fault_of(error) == fault


async def one_line(rig: Rig, **body: Any) -> dict[str, Any]:
    with capture_logs() as lines:
        await rig.ask("X-Client-Request-Id: job-17", **body)
    (line,) = [each for each in lines if each["event"] == "request"]
    return dict(line)


async def test_a_request_that_is_not_let_in_has_its_line_too() -> None:
    async with Rig().serving() as rig:
        line = await one_line(rig, max_tokens=-1)
    assert (line["status"], line["code"], line["end_reason"]) == (400, "invalid_request_error", "refused")
    assert (line["key_id"], line["client_request_id"]) == (str(IDENTITY.key_id), "job-17")
    assert line["log_level"] == "info"


async def test_of_a_bad_key_only_the_address_is_known_and_of_a_model_only_one_with_a_price() -> None:
    async with Rig().serving() as rig:
        line = await one_line(rig, model="the client's own words")
        rig.client.transport.written.clear()
        rig.verifier.is_bad = True
        bad_key = await one_line(rig)
    assert (line["code"], line["model"]) == ("model_not_found", None)
    assert (bad_key["code"], bad_key["key_id"], bad_key["user_id"]) == ("invalid_api_key", None, None)


async def test_the_upstreams_failure_is_told_with_its_status_or_its_kind() -> None:
    async with Rig().serving() as rig:
        with capture_logs() as lines:
            sink = await rig.begin()
            sink.on_headers(500, JSON)
            sink.on_body(GOOD)
            sink.on_end()
            await rig.whole()
        assert [each["error"] for each in lines if each["event"] == "request"] == ["status 500"]


async def test_a_broken_stream_is_told_with_the_kind_of_its_end() -> None:
    async with Rig().serving() as rig:
        with capture_logs() as lines:
            sink = await rig.begin(stream=True)
            sink.on_headers(200, EVENTS)
            await rig.has_begun()
            sink.on_failure(UpstreamClosed("10.1.2.3", headers_received=True))
            await rig.whole()
        (line,) = [each for each in lines if each["event"] == "request"]
        assert (line["error"], line["log_level"], line["streamed"]) == ("UpstreamClosed", "warning", True)


def test_a_refusal_through_a_server_that_is_away_is_a_warning() -> None:
    from metering import endpoints

    with capture_logs() as lines:
        failure = Failure("limits_unavailable", "The limits store is away.")
        request_log.refused(REQUEST_ID, endpoints.OPENAI[0], failure, Pace(), None, None)
    assert lines[0]["log_level"] == "warning"
