"""Rerank (Jina's and Cohere's, which vLLM, SGLang and TEI speak too): a query and documents, scores back."""

from collections.abc import Iterator

from metering.formats.format import Ask, InvalidAsk, JsonObject, Piece, Said, WireFormat, deciding, model_of
from metering.formats.openai_usage import is_error
from metering.reading import Reading, count, first_count, object_of


def ask(fields: JsonObject) -> Ask:
    model = model_of(fields)
    documents = fields.get("documents")
    if not isinstance(documents, list) or not documents:
        raise InvalidAsk("`documents` must be a list with at least one document.", "documents")
    return Ask(model, generates=False)


def read(answer: JsonObject) -> Said:
    """Jina and vLLM say a total and no prompt; Cohere says it under `meta`."""
    usage, meta = object_of(answer.get("usage")), object_of(answer.get("meta"))
    tokens = object_of(meta.get("tokens")) or object_of(meta.get("billed_units"))
    prompt = first_count(usage.get("prompt_tokens"), usage.get("total_tokens"), tokens.get("input_tokens"))
    reading = Reading(prompt=prompt, completion=count(tokens.get("output_tokens")))
    return Said(usage=reading, is_error=is_error(answer))


def texts(_: JsonObject) -> Iterator[Piece]:
    return iter(())


FORMAT = WireFormat(
    "rerank",
    ask,
    read,
    texts,
    marks=(b'"usage"', b'"meta"', b'"error"'),
    decides=deciding("query", "documents"),
)
