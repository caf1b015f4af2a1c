"""What a call is made of, with everything but the point of the test filled in."""

from typing import Any
from uuid import UUID

import orjson

from ledger.money import MAX_NANOS
from metering import endpoints
from metering.estimate.bound import Bound
from metering.holds import HoldPlan
from metering.pricing import Price
from proxy import asking
from proxy.keys.door import Door
from proxy.keys.verifier import Identity
from proxy.routing import Fleet, Route
from proxy.settlement import Admitted
from proxy.upstream.attempts import Attempts
from proxy.upstream.pool import PoolLimits, UpstreamPool, parse_origin
from runtime.clock import monotonic_ms
from runtime.settings import Upstream
from runtime.strikes import Strikes

IDENTITY = Identity(key_id=UUID(int=1), user_id=UUID(int=2), wallet_id=UUID(int=3))
REQUEST_ID = UUID(int=4)


def door_of(verifier: Any) -> Door:
    """A door that nobody is kept out of."""
    return Door(verifier, Strikes(0))


def price(**changes: Any) -> Price:
    """A different number for each kind of token, so that no two can be mistaken for each other."""
    fields: dict[str, Any] = {
        "pricing_id": UUID(int=5),
        "model": "tiny",
        "effective_from_ms": 0,
        "input_nanos_per_1k": 1_000_000,
        "cached_input_nanos_per_1k": 2_000_000,
        "cache_write_nanos_per_1k": 3_000_000,
        "output_nanos_per_1k": 5_000_000,
        "reasoning_nanos_per_1k": 7_000_000,
        "audio_input_nanos_per_1k": 13_000_000,
        "audio_output_nanos_per_1k": 17_000_000,
        "image_nanos": 19_000_000,
        "audio_minute_nanos": 23_000_000,
        "request_fee_nanos": 11,
    }
    return Price(**(fields | changes))


def chat_body(**changes: Any) -> bytes:
    fields: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
    return orjson.dumps({name: value for name, value in (fields | changes).items() if value is not ...})


def route(**settings: Any) -> Route:
    """Needs a running loop; opens no connection until something is sent."""
    fields: dict[str, Any] = {"url": "http://upstream.invalid/v1"}
    upstream = Upstream(**(fields | settings))
    return Route(upstream, UpstreamPool(parse_origin(upstream.url), PoolLimits()))


def admitted(client_request_id: str | None = None, **body: Any) -> Admitted:
    """Needs a running loop."""
    return Admitted(
        request_id=REQUEST_ID,
        identity=IDENTITY,
        asked=asking.parse(chat_body(**body), endpoints.OPENAI[0], "application/json"),
        endpoint="/v1/chat/completions",
        fleet=(fleet := Fleet([route()])),
        attempts=Attempts(fleet.balance, monotonic_ms),
        price=price(),
        client_request_id=client_request_id,
        plan=HoldPlan(Bound(input_tokens=10, output_tokens=100), price(), limit=100),
        held_nanos=MAX_NANOS,
        lowered_limit=None,
    )
