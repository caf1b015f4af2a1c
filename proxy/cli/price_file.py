"""Prices that are not in force, as people write them: amounts of dollars, and a file of them."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from accounts.errors import InvalidRequest
from accounts.filters import MAX_MODEL_CHARS, check_text
from accounts.price_trial import MAX_MODELS
from accounts.rates import Rates
from ledger.money import MoneyError, parse_dollars
from proxy.cli.options import Dollars

# Ten thousand models with every kind of price.
MAX_FILE_BYTES = 4 << 20
# What an amount is called -> the field of Rates.
KINDS = {
    "input": "input_nanos_per_1k",
    "output": "output_nanos_per_1k",
    "cached_input": "cached_input_nanos_per_1k",
    "cache_write": "cache_write_nanos_per_1k",
    "reasoning": "reasoning_nanos_per_1k",
    "audio_input": "audio_input_nanos_per_1k",
    "audio_output": "audio_output_nanos_per_1k",
    "image": "image_nanos",
    "audio_minute": "audio_minute_nanos",
    "fee": "request_fee_nanos",
}


class Price(Dollars):
    """Dollars, not negative."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        nanos = super().convert(value, param, ctx)
        if nanos < 0:
            self.fail("must not be negative", param, ctx)
        return nanos


class _Loader(yaml.BaseLoader):
    """Every scalar stays the text it is, so that 0.1 is never a float; a name given twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value]
        if len(set(map(str, names))) != len(names):
            raise yaml.YAMLError("a name is given twice")
        return super().construct_mapping(node, deep)


def read_prices(path: Path) -> dict[str, Rates]:
    """Model -> its prices. Raises InvalidRequest for what is no such file."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidRequest(f"{path}: more than {MAX_FILE_BYTES} bytes")
        return parse_prices(path.read_text())
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path}: not text") from None


def parse_prices(text: str) -> dict[str, Rates]:
    """`models: {NAME: {input: 0.001, output: 0.002, …}}`. Raises InvalidRequest."""
    try:
        tree = yaml.load(text, _Loader)  # noqa: S506 -- a loader that makes texts, lists and mappings only
    except (yaml.YAMLError, RecursionError):
        raise InvalidRequest("prices: not YAML, or a name is given twice") from None
    models = tree.get("models") if isinstance(tree, dict) and set(tree) == {"models"} else None
    if not isinstance(models, dict) or not 1 <= len(models) <= MAX_MODELS:
        raise InvalidRequest(f"prices: must be `models:` with 1 to {MAX_MODELS} of them")
    return {_model(name): _rates(str(name), prices) for name, prices in models.items()}


def _model(name: Any) -> str:
    check_text("model", str(name), MAX_MODEL_CHARS)
    return str(name)


def _rates(model: str, prices: Any) -> Rates:
    if not isinstance(prices, Mapping):
        raise InvalidRequest(f"{model}: must be prices by name")
    unknown = sorted(str(name) for name in prices if name not in KINDS)
    if unknown:
        raise InvalidRequest(f"{model}: unknown {unknown[0]!r}; known are {', '.join(KINDS)}")
    if "input" not in prices or "output" not in prices:
        raise InvalidRequest(f"{model}: input and output are needed")
    return Rates(**{KINDS[name]: _nanos(model, name, amount) for name, amount in prices.items()})


def _nanos(model: str, name: str, amount: Any) -> Any:
    try:
        return parse_dollars(amount)
    except (MoneyError, TypeError):
        raise InvalidRequest(f"{model}: {name}: not an amount of dollars") from None
