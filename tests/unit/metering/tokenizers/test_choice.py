import pytest

from metering.tokenizers.choice import tokenizer_of


@pytest.mark.parametrize(
    ("model", "tokenizer"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-2024-08-06", "o200k_base"),
        ("openai/gpt-4o", "o200k_base"),
        ("gpt-5.5", "o200k_base"),
        ("gpt-oss-120b", "o200k_base"),
        ("gpt-oss:20b", "o200k_base"),
        ("openai/gpt-oss-20b", "o200k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-35-turbo-16k", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("ft:gpt-4o:me", "o200k_base"),
        ("text-davinci-003", None),
        ("llama3", None),
        ("", None),
    ],
)
def test_openais_own_table(model: str, tokenizer: str | None) -> None:
    assert tokenizer_of(model, {}) == tokenizer


def test_the_operator_goes_first_and_the_longest_beginning_counts() -> None:
    configured = {
        "llama*": "/models/llama.json",
        "llama3*": "/models/llama3.json",
        "gpt-4o": "cl100k_base",
        "*": "o200k_base",
    }
    names = [tokenizer_of(model, configured) for model in ("llama2", "llama3.1", "gpt-4o", "other")]
    assert names == ["/models/llama.json", "/models/llama3.json", "cl100k_base", "o200k_base"]
