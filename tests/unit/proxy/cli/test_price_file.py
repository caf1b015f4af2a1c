from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import InvalidRequest
from accounts.rates import Rates
from proxy.cli.price_file import KINDS, MAX_FILE_BYTES, parse_prices, read_prices


def test_prices_are_read_exactly_as_they_are_written() -> None:
    text = """
models:
  tiny: {input: 0.000000001, output: "0.1"}
  "1.5": {input: 1, output: 2e-3, cached_input: 0, cache_write: 3, reasoning: 4, audio_input: 5, audio_output: 6,
          image: 0.7, audio_minute: 0.8, fee: 0.9}
"""
    assert parse_prices(text) == {
        "tiny": Rates(1, 100_000_000),
        "1.5": Rates(
            10**9, 2 * 10**6, 0, 3 * 10**9, 4 * 10**9, 5 * 10**9, 6 * 10**9, 7 * 10**8, 8 * 10**8, 9 * 10**8
        ),
    }  # fmt: skip


def test_every_rate_has_a_name() -> None:
    assert sorted(KINDS.values()) == sorted(Rates.__slots__)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- tiny",
        "models:",
        "models: {}",
        "models: [tiny]",
        "models: {tiny: 1}",
        "models: {tiny: {input: 1}}",
        "models: {tiny: {input: 1, output: 1, outputs: 1}}",
        "models: {tiny: {input: 1, output: -1}}",
        "models: {tiny: {input: 1, output: 1, fee: -0.1}}",
        "models: {tiny: {input: 1, output: .nan}}",
        "models: {tiny: {input: 1, output: 0.0000000001}}",
        "models: {tiny: {input: 1, output: [1]}}",
        "models: {tiny: {input: 1, output: }}",
        "models: {tiny: {input: 1, input: 2, output: 1}}",
        "models: {tiny: {input: 1, output: 1}, tiny: {input: 1, output: 1}}",
        "models: {tiny: {input: 1, output: 1}}\nmore: 1",
        "models: {'': {input: 1, output: 1}}",
        "models: {tiny: {input: 1, output: 1}",
        "models: {tiny: !!python/object/apply:os.getcwd []}",
        "models: {? [a] : {input: 1, output: 1}}",
        "[" * 5000,
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_prices(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_prices(text)
    except InvalidRequest:
        pass


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("models: {tiny: {input: 0.1, output: 0.2}}")
    assert read_prices(path) == {"tiny": Rates(10**8, 2 * 10**8)}
    with pytest.raises(InvalidRequest, match="No such file"):
        read_prices(tmp_path / "none.yaml")
    bad: list[Any] = [b"\xff\xfe\xfa", b" " * (MAX_FILE_BYTES + 1)]
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(InvalidRequest):
            read_prices(path)
