"""A page of Prometheus metrics -> its samples. Pure and strict: what is no such page is refused, whole.

The text format 0.0.4, with what OpenMetrics and Prometheus 3 add to a line: an exemplar behind the value, which is
skipped, and names in quotes. Comments, types and help texts are skipped too: whoever asks knows its metrics by name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SPACE = r"[ \t]*+"
_QUOTED = r'"(?:[^"\\\n]|\\["\\n])*+"'
_LABEL = rf"{_SPACE}(?:(?:[a-zA-Z_][a-zA-Z0-9_]*+|{_QUOTED}){_SPACE}={_SPACE}{_QUOTED}|{_QUOTED}){_SPACE}"
# Not possessive: before Python 3.11.5 a possessive group that could also match otherwise matches what it should not.
_LABELS = rf"\{{((?:{_LABEL}(?:,{_LABEL})*,?)?){_SPACE}\}}"
_NUMBER = r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?|[+-]?[Ii]nf|NaN"
_TIME = r"-?[0-9]++(?:\.[0-9]++)?"
_EXEMPLAR = rf"{_SPACE}\#{_SPACE}{_LABELS}{_SPACE}(?:{_NUMBER})(?:[ \t]++{_TIME})?"
_SAMPLE = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*+)?{_SPACE}(?:{_LABELS})?{_SPACE}({_NUMBER})(?:[ \t]++{_TIME})?(?:{_EXEMPLAR})?{_SPACE}"
)
_ONE_LABEL = re.compile(rf"(?:([a-zA-Z_][a-zA-Z0-9_]*+|{_QUOTED}){_SPACE}={_SPACE})?({_QUOTED})")
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"n": "\n", "\\": "\\", '"': '"'}


class ExpositionError(ValueError):
    """Not a page of metrics: which line, and not what it says."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: `labels` are in the order of their names, so that equal ones are equal."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float

    def label(self, name: str) -> str | None:
        return dict(self.labels).get(name)


def parse(page: str) -> Iterator[Sample]:
    """In the order of the page. Raises ExpositionError, also after some samples."""
    for number, line in enumerate(page.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip(" \t") or line.lstrip(" \t").startswith("#"):
            continue
        sample = _sample(line.strip(" \t"))
        if sample is None:
            raise ExpositionError(f"line {number} is no metric")
        yield sample


def _sample(line: str) -> Sample | None:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        return None
    name, labels, value = found[1], found[2], found[3]
    if labels is None and (name is None or not line[len(name)].isspace()):
        return None
    pairs: dict[str, str] = {}
    for label, text in _ONE_LABEL.findall(labels or ""):
        if not label:  # a quoted name without a value is the metric's own
            if name is not None:
                return None
            name = _unquoted(text)
        elif pairs.setdefault(_unquoted(label), _unquoted(text)) != _unquoted(text):
            return None
    return None if not name else Sample(name, tuple(sorted(pairs.items())), float(value))


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(lambda found: _MEANT[found[1]], text[1:-1]) if text.startswith('"') else text
