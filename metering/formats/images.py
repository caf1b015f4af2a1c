"""OpenAI's images: models of the GPT family report tokens, all others are billed by the image."""

from collections.abc import Iterator

from metering.formats.format import Ask, JsonObject, Piece, Said, WireFormat, deciding, model_of
from metering.formats.openai_usage import is_error
from metering.formats.responses import read_usage
from metering.reading import Reading

MAX_IMAGES = 10
_LAST = ("image_generation.completed", "image_edit.completed")


def ask(fields: JsonObject) -> Ask:
    is_stream = fields.get("stream") is True or str(fields.get("stream", "")).lower() == "true"
    return Ask(model_of(fields), is_stream=is_stream, generates=False, images=_images_wanted(fields))


def _images_wanted(fields: JsonObject) -> int:
    """`n`; of a form it is a text. What is no number of images is the upstream's to refuse."""
    wanted = fields.get("n")
    if isinstance(wanted, str) and wanted.isascii() and wanted.isdecimal() and len(wanted) < 4:
        wanted = int(wanted)
    return min(wanted, MAX_IMAGES) if isinstance(wanted, int) and wanted >= 1 else 1


def read(said: JsonObject) -> Said:
    kind, data = said.get("type"), said.get("data")
    images = 1 if kind in _LAST else len(data) if isinstance(data, list) else None
    usage = read_usage(said.get("usage"))
    # a picture partly drawn is not one more
    reading = usage.updated(Reading(images=images)) if images else usage
    return Said(usage=reading, is_error=is_error(said), is_finish=kind in _LAST, is_end=kind in _LAST)


def texts(_: JsonObject) -> Iterator[Piece]:
    return iter(())


FORMAT = WireFormat(
    "images",
    ask,
    read,
    texts,
    marks=(b'"usage"', b'"error"', *(f'"{kind}"'.encode() for kind in _LAST)),
    decides=deciding("n", "prompt"),
    ends_long=True,
)
