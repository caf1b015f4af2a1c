"""What goes upstream for an admitted request: to this upstream, in its words, with its credential. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from metering.injection import Outgoing
from proxy.http import headers
from proxy.settlement import Admitted
from proxy.upstream.request import UpstreamRequest


class Sent(NamedTuple):
    """`body`: what was made of the client's, and what is to be taken out of the answer for it."""

    request: UpstreamRequest
    body: Outgoing


def sent_for(admitted: Admitted, request_id: str, raw_headers: Sequence[tuple[bytes, bytes]], *, may_ask: bool) -> Sent:
    """For the upstream whose turn it is; `may_ask`: it does not refuse to be asked for usage. `request_id` is the
    admitted one's, written out.
    """
    asked, route = admitted.asked, admitted.route
    name = route.name_of(asked.ask.model)
    body = asked.sent(route.kind, may_ask=may_ask, output_limit=admitted.lowered_limit, name=name)
    passed = headers.to_upstream(
        raw_headers,
        credential=route.credential,
        request_id=request_id,
        credential_header=route.credential_header,
        added=admitted.fleet.headers_for(route),
    )
    endpoint = asked.endpoint
    return Sent(UpstreamRequest("POST", endpoint.upstream_path, passed, body.body, is_rooted=endpoint.is_rooted), body)
