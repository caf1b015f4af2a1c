"""What is typed and printed; what comes out is in tests/integration/test_price_trial.py and the acceptance tests."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from click.testing import CliRunner

from accounts.csv_lines import csv_bytes
from accounts.price_trial import Outcome, Trial, Tried
from accounts.rates import Rates
from proxy.cli.price_trial import _cells, _json, _text
from proxy.cli.prices import prices

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
ANN = UUID(int=1)
TOTAL = Tried(None, None, 3, 10, 7)
OUTCOME = Outcome(TOTAL, [Tried(None, "tiny", 3, 10, 7)], [Tried(ANN, None, 3, 10, 7)])


def test_json_is_exact_and_says_which_models_have_new_prices() -> None:
    trial = Trial(NOON, None, {"tiny": Rates(1, 2)})
    printed: dict[str, Any] = orjson.loads(orjson.dumps(_json(trial, OUTCOME), default=str))
    assert printed["prices"]["tiny"]["input_price_per_1k_tokens"] == "0.000000001"
    assert printed["models"][0]["is_priced"] is True
    assert printed["users"][0]["user_id"] == str(ANN)
    assert b'"difference":-0.000000003' in orjson.dumps(_json(trial, OUTCOME), default=str)
    assert printed["until"] is None


def test_text_has_a_line_for_each_and_one_for_all() -> None:
    lines = _text(OUTCOME).splitlines()
    assert [line.split()[0] for line in lines if line] == ["requests", "tiny", "all", "users,", str(ANN)]
    assert "$-0.000000003" in lines[1]
    assert "users" not in _text(Outcome(TOTAL, [], []))


def test_a_model_that_looks_like_a_formula_is_only_text_in_csv() -> None:
    row = Tried(ANN, "=1+1", 3, 10, 7)
    assert csv_bytes([_cells(row)]) == f"{ANN},'=1+1,3,0.00000001,0.000000007,-0.000000003\r\n".encode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "tiny", "--input", "1", "--output", "1"],
        ["--since", "2026-01-01"],
        ["--since", "2026-01-01", "--model", "tiny", "--input", "1"],
        ["--since", "2026-01-01", "--input", "1", "--output", "1"],
        ["--since", "2026-01-01", "--file", "x.yaml", "--model", "tiny"],
        ["--since", "2026-01-01", "--file", "x.yaml", "--input", "1"],
        ["--since", "2026-01-01", "--model", "tiny", "--input", "1", "--output", "1", "--csv", "--json"],
        ["--since", "2026-01-01", "--model", "tiny", "--input", "-1", "--output", "1"],
        ["--since", "yesterday", "--model", "tiny", "--input", "1", "--output", "1"],
    ],
    ids=" ".join,
)
def test_nonsense_is_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(prices, ["try", *arguments, "--config", "nowhere.yaml"]).exit_code == 2
