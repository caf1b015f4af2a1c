"""Which tap reads along with an answer, by what its headers say it is."""

from metering.answer_tap import AnswerTap
from metering.endpoints import Endpoint
from metering.formats.format import Ask
from metering.framing import Framing
from metering.injection import Outgoing
from metering.reading import Tally
from metering.tap import StreamTap, Tap


def tap_of(
    endpoint: Endpoint, ask: Ask, sent: Outgoing, trusts_counts: bool, content_type: bytes, framing: Framing | None
) -> Tap:
    """`trusts_counts`: what the server counts along may stand for an answer that is cut."""
    if framing is None:
        return AnswerTap(endpoint.wire, is_text=not content_type.startswith((b"audio/", b"image/")))
    tally = Tally(ask.candidates, ask.prompts)
    return StreamTap(endpoint.wire, framing, sent.removal, keeps_text=True, trusts_counts=trusts_counts, tally=tally)
