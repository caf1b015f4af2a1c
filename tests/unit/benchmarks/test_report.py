"""What is told of a run."""

import json

import pytest

from benchmarks import report
from benchmarks.affinity import plan
from benchmarks.figure import BARE, DIRECT, FAREBOX, Figure, Goal, difference, ratio
from benchmarks.figures.unary import KEPT
from benchmarks.stage import FULL, QUICK
from benchmarks.values import summary

SPEED = Figure(
    "Speed", "requests/s", "requests", goals=(ratio(BARE, 1.5, 2), ratio("Envoy", 1, 1)), more_is_better=True
)
WAIT = Figure("Wait", "ms", "latency", base=DIRECT, goals=(difference(DIRECT, 2, 1), Goal(9, 8)))
MEASURED = {SPEED: {FAREBOX: [3.0, 1.0], BARE: [2.0]}, WAIT: {FAREBOX: [5.0], DIRECT: [4.0]}}


def test_a_picture_stands_before_the_first_table_of_its_figures() -> None:
    text = report.text(report.summaries(MEASURED), ["a note"], ["latency"])
    assert text.startswith("- a note\n")
    first, picture, last = (
        text.index(part) for part in ("### Speed (requests/s)", "(performance/latency.png)", "### Wait")
    )
    assert first < picture < last
    assert text.count("![") == 1


def test_the_notes_name_the_cores_and_what_is_missing() -> None:
    told = report.notes(QUICK, plan([0, 1, 2, 3]), None, ["envoy"])
    assert any("server on 0; upstream on 1; load on 2; Valkey on 2; Postgres and ledger on 3" in note for note in told)
    assert any(note.startswith("envoy: left out") for note in told)
    assert told[0].startswith("quick") and not report.notes(FULL, plan([0]), None, [])[0].startswith("quick")


@pytest.mark.parametrize(
    ("options", "schemes", "told"),
    [
        ("'--enable-optimizations' '--with-lto'", ["posix_prefix"], "with --enable-optimizations"),
        ("'--enable-shared'", ["posix_prefix", "deb_system"], "by Debian"),
        ("'--enable-shared'", ["posix_prefix"], "without --enable-optimizations"),
        (None, ["posix_prefix"], "without --enable-optimizations"),
    ],
)
def test_it_is_told_how_python_was_built(
    monkeypatch: pytest.MonkeyPatch, options: str | None, schemes: list[str], told: str
) -> None:
    monkeypatch.setattr("sysconfig.get_config_var", lambda _: options)
    monkeypatch.setattr("sysconfig.get_scheme_names", lambda: schemes)
    assert report.built().startswith(told)


@pytest.mark.parametrize(
    ("direct", "told"), [(3.0, "direct is 1.5 times the fastest (Farebox): enough"), (2.9, "held")]
)
def test_it_is_told_whether_the_load_was_faster_than_what_it_measured(direct: float, told: str) -> None:
    (proof,) = report.proofs(report.summaries({SPEED: {**MEASURED[SPEED], DIRECT: [direct]}, WAIT: MEASURED[WAIT]}))
    assert told in proof
    assert report.proofs(report.summaries(MEASURED)) == []


def test_a_machine_that_was_not_quiet_is_told_of() -> None:
    def told(highest: float) -> list[str]:
        return report.disturbances({KEPT: {BARE: summary([1.0, highest]), FAREBOX: summary([2.0])}})

    assert told(report.QUIET_PERCENT) == []
    (note,) = told(48.1)
    assert f"{BARE} was kept from its core by somebody else for 48 %" in note
    assert report.disturbances({}) == []


def test_it_is_told_how_often_the_books_held() -> None:
    (told,) = report.books([1_000, 2_500])
    assert "each of 2 runs" in told and "the 3,500 tokens" in told
    assert report.books([]) == []


def test_json_has_every_value_and_what_must_be_reached_of_what_was_measured() -> None:
    speed, wait = json.loads(json.dumps(report.plain(report.summaries(MEASURED))))
    assert speed["rows"][FAREBOX] == {"median": 2.0, "lowest": 1.0, "highest": 3.0, "values": [3.0, 1.0]}
    assert speed["ours"] == [FAREBOX]
    assert speed["limits"] == [
        {"kind": "must", "label": f"must ≥ 1.5 × {BARE}", "value": 3.0},  # noqa: RUF001
        {"kind": "aim", "label": f"aim ≥ 2 × {BARE}", "value": 4.0},  # noqa: RUF001
    ]
    assert wait["limits"] == [
        {"kind": "must", "label": "must ≤ direct + 2 ms", "value": 6.0},
        {"kind": "aim", "label": "aim ≤ direct + 1 ms", "value": 5.0},
        {"kind": "must", "label": "must ≤ 9 ms", "value": 9.0},
        {"kind": "aim", "label": "aim ≤ 8 ms", "value": 8.0},
    ]


def test_the_load_itself_is_drawn_only_where_others_are_held_against_it() -> None:
    rows = {SPEED: {**MEASURED[SPEED], DIRECT: [90.0]}, WAIT: MEASURED[WAIT]}
    speed, wait = report.plain(report.summaries(rows))
    assert speed["drawn"] == [FAREBOX, BARE]
    assert wait["drawn"] == [FAREBOX, DIRECT]


def test_what_is_farebox_is_told_from_what_it_is_held_against() -> None:
    rows = dict.fromkeys([FAREBOX, BARE, f"{FAREBOX}, 2 workers"], summary([1.0]))
    assert report.ours(SPEED, rows) == [FAREBOX, f"{FAREBOX}, 2 workers"]
    alone = dict.fromkeys(["with", "without"], summary([1.0]))
    assert report.ours(Figure("a", "ms", base="without"), alone) == ["with"]
    assert report.ours(Figure("a", "ms", base=""), alone) == ["with", "without"]
