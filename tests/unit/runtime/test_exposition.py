from math import inf, isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.exposition import ExpositionError, Sample, parse

PAGES = sorted(Path("tests/data/metrics").glob("*.txt"))


def only(line: str) -> Sample:
    (sample,) = parse(line)
    return sample


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_pages_of_servers_are_read_whole(path: Path) -> None:
    page = path.read_text()
    lines = [line for line in page.splitlines() if line and not line.startswith("#")]
    assert len(list(parse(page))) == len(lines) > 5


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("a 1", Sample("a", (), 1.0)),
        ("  a:b_c\t\t1.5e3  1700000000000 ", Sample("a:b_c", (), 1500.0)),
        ("a{} 1", Sample("a", (), 1.0)),
        ('a{ b = "c" , } 1', Sample("a", (("b", "c"),), 1.0)),
        ('a{z="1",b="2"}3', Sample("a", (("b", "2"), ("z", "1")), 3.0)),
        (r'a{b="\\ \" \n ü , } {"} 1', Sample("a", (("b", '\\ " \n ü , } {'),), 1.0)),
        ('a{le="+Inf"} +Inf', Sample("a", (("le", "+Inf"),), inf)),
        ("a -Inf", Sample("a", (), -inf)),
        ("a .5", Sample("a", (), 0.5)),
        ('a_bucket{le="1"} 2 # {trace_id="x y"} 0.67 1520879607.789', Sample("a_bucket", (("le", "1"),), 2.0)),
        ("a_total 17 1520879607.789 # {} 1", Sample("a_total", (), 17.0)),
        ('{"my.metric","my label"="x",b="y"} 1', Sample("my.metric", (("b", "y"), ("my label", "x")), 1.0)),
        ("a 1\r", Sample("a", (), 1.0)),
    ],
)
def test_a_line(line: str, sample: Sample) -> None:
    assert only(line) == sample


def test_not_a_number_is_a_value() -> None:
    assert isnan(only("a NaN").value)


def test_labels_are_asked_by_name() -> None:
    assert only('a{b="c"} 1').label("b") == "c"
    assert only('a{b="c"} 1').label("c") is None


@pytest.mark.parametrize(
    "line",
    [
        "a", "a b", "1a 1", "a{ 1", 'a{b="c} 1', 'a{b="c"', "a{b=c} 1", 'a{b="\\x"} 1', 'a{b="c" d="e"} 1', 'a{,} 1',
        'a{b="c",,} 1', 'a{b="c"} 1 x', "a 1_000", "a 0x10", "a 1 2 3", "a infinity", "a nan", "a\u0661 1", "a \u0661",
        '{b="c"} 1', 'a{"b"} 1', 'a{b="1",b="2"} 1', "<html>", '{"detail":"Not Found"}', "a1", "a 1 # x",
    ],
)  # fmt: skip
def test_what_is_no_metric_refuses_the_page(line: str) -> None:
    with pytest.raises(ExpositionError, match="line 2"):
        list(parse(f"a 1\n{line}\n"))


@pytest.mark.parametrize(
    "line", ["a{" + " " * 200_000, 'a{b="' + "\\\\" * 100_000, "a " + "1" * 200_000 + "x", 'a{b="c",' * 50_000]
)
def test_a_hostile_line_is_refused_at_once(line: str) -> None:
    with pytest.raises(ExpositionError):
        list(parse(line))


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        list(parse(text))
    except ExpositionError:
        pass


@given(
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), st.text(max_size=20)), st.integers(0, 2**53)
)
def test_what_is_written_is_read(labels: dict[str, str], value: int) -> None:
    def quoted(text: str) -> str:
        return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

    inside = ",".join(f'{name}="{quoted(text)}"' for name, text in labels.items())
    assert only(f"a{{{inside}}} {value}") == Sample("a", tuple(sorted(labels.items())), float(value))
