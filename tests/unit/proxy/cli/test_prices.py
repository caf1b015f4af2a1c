"""What is typed and printed for prices; what the commands do is in tests/acceptance/test_prices.py."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
import orjson
import pytest
from click.testing import CliRunner

from accounts.prices import PriceRow
from accounts.rates import Rates
from proxy.cli.price_file import Price
from proxy.cli.prices import _json, _line, prices

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
ROW = PriceRow(UUID(int=1), "tiny", Rates(1, 25_000_000, image_nanos=0), True, True, NOON, NOON)


@pytest.mark.parametrize(("text", "nanos"), [("0", 0), ("0.000000001", 1), ("9000000", 9_000_000_000_000_000)])
def test_a_price(text: str, nanos: int) -> None:
    assert Price().convert(text, None, None) == nanos


@pytest.mark.parametrize("text", ["-1", "-0.000000001", "NaN", "1e309", "0.0000000001", "", "free"])
def test_no_price(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Price().convert(text, None, None)


def test_a_price_as_json_is_exact_and_says_what_was_left_open() -> None:
    printed: dict[str, Any] = orjson.loads(orjson.dumps(_json(ROW), default=str))
    assert b'"input_price_per_1k_tokens":0.000000001' in orjson.dumps(_json(ROW), default=str)
    assert Decimal(str(printed["output_price_per_1k_tokens"])) == Decimal("0.025")
    assert (printed["image_price"], printed["audio_minute_price"], printed["base_request_fee"]) == (0, None, 0)
    assert (printed["id"], printed["in_force"]) == (str(ROW.id), True)


def test_a_price_in_one_line() -> None:
    assert _line(ROW) == (
        "00000000-0000-0000-0000-000000000001  in force  from 2026-01-02 12:00:00  tiny  "
        "input_price $0.000000001 output_price $0.025 image_price $0 base_request_fee $0"
    )
    assert "  active    from" in _line(replace(ROW, in_force=False))
    assert "  off       from" in _line(replace(ROW, in_force=False, is_active=False))


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "tiny", "--input", "1", "--output", "1"],
        ["set", "tiny", "--input", "1", "--reason", "x"],
        ["set", "--input", "1", "--output", "1", "--reason", "x"],
        ["set", "tiny", "--input", "1", "--output", "-1", "--reason", "x"],
        ["set", "tiny", "--input", "1", "--output", "1", "--reason", "x", "--image", "NaN"],
        ["set", "tiny", "--input", "1", "--output", "1", "--reason", "x", "--from", "tomorrow"],
        ["deactivate", "tiny", "--reason", "x"],
        ["deactivate", str(UUID(int=1))],
        ["list", "tiny"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_nonsense_is_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(prices, [*arguments, "--config", "nowhere.yaml"]).exit_code == 2
