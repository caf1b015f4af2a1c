"""Which tokenizer counts for which model: what the operator says, else OpenAI's own table, else none. Pure."""

from collections.abc import Mapping

from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING

from metering.tokenizers.vocabulary import EncodingName

# Their open models as Ollama names them; the table has `gpt-oss-` alone.
_OWN_STARTS: Mapping[str, str] = {"gpt-oss": "o200k_harmony"}
# The harmony encoding has the same words, and control tokens of its own, which ordinary text does not hold.
_SHIPPED: Mapping[str, EncodingName] = {
    "o200k_base": "o200k_base",
    "o200k_harmony": "o200k_base",
    "cl100k_base": "cl100k_base",
}
_STARTS = {**_OWN_STARTS, **MODEL_PREFIX_TO_ENCODING}


def tokenizer_of(model: str, configured: Mapping[str, str]) -> str | None:
    """The name of a shipped vocabulary, the path of a tokenizer.json, or None.

    `configured`: model, or the beginning of its name and `*`, -> either of these. The longest beginning counts.
    """
    if model in configured:
        return configured[model]
    fitting = [name for name in configured if name.endswith("*") and model.startswith(name[:-1])]
    if fitting:
        return configured[max(fitting, key=len)]
    return _of_openai(model)


def _of_openai(model: str) -> str | None:
    """Of their retired vocabularies none is shipped."""
    bare = model.removeprefix("openai/")  # as OpenRouter and others call them
    encoding = MODEL_TO_ENCODING.get(bare)
    if encoding is None:
        starts = [start for start in _STARTS if bare.startswith(start)]
        encoding = _STARTS[max(starts, key=len)] if starts else None
    return None if encoding is None else _SHIPPED.get(encoding)
