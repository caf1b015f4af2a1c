"""Which tap reads along with an answer. Pure."""

from metering.endpoints import Endpoint
from metering.formats.format import Ask
from metering.framing import Framing
from metering.injection import Outgoing
from metering.reading import Tally
from metering.tap import AnswerTap, StreamTap, Tap


def make_tap(
    endpoint: Endpoint, ask: Ask, sent: Outgoing, trusts_counts: bool, content_type: bytes, framing: Framing | None
) -> Tap:
    """`framing` None: the answer is no stream of events."""
    if framing is None:
        return AnswerTap(endpoint.wire, is_text=not content_type.startswith((b"audio/", b"image/")))
    tally = Tally(ask.candidates, ask.prompts)
    return StreamTap(endpoint.wire, framing, sent.removal, keeps_text=True, trusts_counts=trusts_counts, tally=tally)
