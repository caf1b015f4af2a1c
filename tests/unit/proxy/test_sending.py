"""What goes upstream: in the words of the upstream whose turn it is."""

import orjson
from msgspec.structs import replace

from proxy.routing import Fleet
from proxy.sending import Sent, sent_for
from proxy.upstream.attempts import Attempts
from runtime.clock import monotonic_ms
from tests.support.calls import admitted, chat_body, route

CLIENTS = [(b"authorization", b"Bearer pp_live-x"), (b"x-org", b"of-the-client"), (b"x-custom", b"kept")]


def sent(*, may_ask: bool = True, stream: bool = False, **settings: object) -> Sent:
    fleet = Fleet([route(**settings)])
    attempts = Attempts(fleet.balance, monotonic_ms)
    asked = admitted(stream=True) if stream else admitted()
    return sent_for(replace(asked, fleet=fleet, attempts=attempts), str(asked.request_id), CLIENTS, may_ask=may_ask)


async def test_the_clients_bytes_with_the_upstreams_credential() -> None:
    found = sent(api_key="sk-upstream")
    assert (found.request.method, found.request.path, found.request.is_rooted) == ("POST", "/chat/completions", False)
    assert found.request.body == found.body.body == chat_body()
    passed = dict(found.request.headers)
    assert (passed[b"authorization"], passed[b"x-custom"]) == (b"Bearer sk-upstream", b"kept")


async def test_the_upstreams_own_name_of_the_model_and_headers() -> None:
    found = sent(model_names={"tiny": "org/tiny"}, headers={"X-Org": "ours"})
    assert orjson.loads(found.request.body) == orjson.loads(chat_body()) | {"model": "org/tiny"}
    assert dict(found.request.headers)[b"x-org"] == b"ours"


async def test_it_is_asked_for_usage_unless_it_refuses_to_be() -> None:
    assert sent(stream=True).body.is_asking
    assert not sent(stream=True, may_ask=False).body.is_asking
