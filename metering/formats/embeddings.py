"""OpenAI's embeddings: input only. The answer is long and its usage stands at its end."""

from collections.abc import Iterator

from metering.formats.format import Ask, InvalidAsk, JsonObject, Piece, Said, WireFormat, deciding, model_of
from metering.formats.openai_usage import is_error, read_usage
from metering.reading import Reading


def ask(fields: JsonObject) -> Ask:
    model = model_of(fields)
    # vLLM takes messages instead
    if not isinstance(fields.get("input", fields.get("messages")), str | list):
        raise InvalidAsk("`input` must be a text or a list.", "input")
    return Ask(model, generates=False)


def read(answer: JsonObject) -> Said:
    said = read_usage(answer.get("usage"))
    # some say the total alone
    return Said(usage=said if said.prompt is not None else Reading(prompt=said.total), is_error=is_error(answer))


def texts(_: JsonObject) -> Iterator[Piece]:
    return iter(())


FORMAT = WireFormat("embeddings", ask, read, texts, marks=(b'"usage"', b'"error"'), decides=deciding("input"))
