"""What a span says, in names that OpenTelemetry has."""

from uuid import UUID

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes

from metering import endpoints
from metering.usage import Usage
from proxy.failures import Failure
from proxy.settlement import Ending, charged_entry
from proxy.telemetry.pace import Pace
from proxy.telemetry.span_attributes import OPERATIONS, Attributes, of_ended, of_refused, span_name
from tests.support.calls import REQUEST_ID, admitted

USED = Usage(input_tokens=3, cached_input_tokens=2, output_tokens=5, reasoning_tokens=4)
DECLARED = {
    value
    for module in (gen_ai_attributes, error_attributes, http_attributes)
    for value in vars(module).values()
    if isinstance(value, str)
}


def unheard_of(attributes: Attributes) -> set[str]:
    return {name for name in attributes if not name.startswith("farebox.")} - DECLARED


async def test_an_ended_request() -> None:
    was, pace = admitted(stream=True), Pace()
    pace.sent_ns = pace.began_ns + 2_000_000
    pace.close(pace.sent_ns + 500_000_000)
    ending = Ending("upstream_timeout", 504, "…", "UpstreamTimeout idle")
    said = of_ended(was, ending, charged_entry(was, ending, USED, "partial", 700), pace)
    assert unheard_of(said) == set()
    assert (said["gen_ai.operation.name"], said["gen_ai.request.model"]) == ("chat", "tiny")
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (5, 9)
    assert said["gen_ai.response.time_to_first_chunk"] == 0.5
    assert (said["farebox.added_seconds"], said["error.type"]) == (0.002, "UpstreamTimeout idle")
    assert said["farebox.request.id"] == str(REQUEST_ID)


async def test_what_did_not_happen_is_not_said() -> None:
    was, ending = admitted(), Ending("upstream_error", 502)
    said = of_ended(was, ending, charged_entry(was, ending, Usage(), "none", 1), Pace())
    assert {"gen_ai.response.time_to_first_chunk", "farebox.added_seconds", "error.type"} & said.keys() == set()


def test_a_refused_request() -> None:
    failure = Failure("rate_limit_exceeded", "Rate limit reached.", reason="over_minute")
    said = of_refused(str(UUID(int=1)), endpoints.OPENAI[0], failure, Pace())
    assert unheard_of(said) == set()
    assert (said["error.type"], said["farebox.reason"]) == ("rate_limit_exceeded", "over_minute")
    assert "gen_ai.request.model" not in said


def test_operations_are_of_routes_that_there_are() -> None:
    names = {endpoint.name for endpoint in (*endpoints.OPENAI, *endpoints.OLLAMA)}
    assert OPERATIONS.keys() <= names
    assert span_name("/v1/rerank", "tiny") == "/v1/rerank tiny"
    assert span_name("/v1/messages", None) == "chat"
