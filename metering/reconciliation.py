"""What was billed against what the LLM server says it counted: where they agree, and by how much they do not. Pure.

Neither side is one number. A request that ran while a counter was read is partly in it; one whose client left may be
counted by the server or not, by its kind, and a few tokens more than were delivered. So the billed side is a range from
what must have been counted to what may have been, and only what lies outside it is a difference.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ledger.billed import Billed
from ledger.entries import DRAINED, WHOLE
from metering.counters import DIALECTS, Dialect, Direction, Growth, Tokens

# A range wider than this share of what was counted hides more than it shows.
_VAGUE = 0.1


@dataclass(frozen=True, slots=True)
class Bounds:
    """`tolerance`: the share of the larger side that may be missing. `late_tokens`: how many a server may generate for
    a request that was cut before it notices.
    """

    tolerance: float
    late_tokens: int


@dataclass(frozen=True, slots=True)
class Line:
    """One model and direction. `billed` is what ran inside the interval, `at_edges` what also ran at one of its ends;
    `difference` is how far `counted` is outside `least` to `most`, negative where the server counted less.
    """

    model: str
    direction: Direction
    billed: int
    at_edges: int
    counted: int
    least: int
    most: int
    difference: int
    is_within: bool

    @property
    def share(self) -> float:
        """The difference, of the larger side."""
        larger = max(self.counted, self.billed)
        return self.difference / larger if larger else 0.0

    @property
    def is_vague(self) -> bool:
        """Could the server have counted almost anything?"""
        return self.most - self.least > _VAGUE * max(self.counted, self.billed)


@dataclass(slots=True)
class Remarks:
    """Requests of a model for which both sides may rightly differ; tokens are output."""

    at_edges: int = 0
    cut: int = 0
    cut_tokens: int = 0
    drained: int = 0
    drained_tokens: int = 0
    free: int = 0
    counted_by_us: int = 0
    counted_by_us_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """`was_reset`: the server began anew, so that nothing can be said."""

    lines: tuple[Line, ...]
    remarks: Mapping[str, Remarks] = field(default_factory=dict)
    was_reset: bool = False

    @property
    def is_within(self) -> bool:
        return not self.was_reset and all(line.is_within for line in self.lines)

    @property
    def is_vague(self) -> bool:
        """Agreement that says little: most of what ran did so at an edge, or was cut."""
        return any(line.is_vague for line in self.lines)


def reconcile(
    billed: Iterable[Billed], growth: Growth, dialect: str, bounds: Bounds, same: Mapping[str, str] | None = None
) -> Reconciliation:
    """`same`: our name of a model -> the server's, where they differ and the server has several."""
    by_model: dict[str, list[Billed]] = {}
    for group in billed:
        by_model.setdefault(_server_name(group.model, growth, same or {}), []).append(group)
    counted = {model or "": tokens for model, tokens in growth.models.items()}
    lines: list[Line] = []
    remarks: dict[str, Remarks] = {}
    for name in sorted(by_model.keys() | counted.keys()):
        groups = by_model.get(name, [])
        shown = _shown(name, groups)
        remarks[shown] = _remarks(groups)
        tokens = counted.get(name, Tokens())
        for direction, amount in (("input", tokens.input), ("output", tokens.output)):
            lines.append(_line(shown, direction, groups, amount, DIALECTS[dialect], bounds))  # type: ignore[arg-type]
    return Reconciliation(tuple(lines), remarks, growth.was_reset)


def _server_name(model: str, growth: Growth, same: Mapping[str, str]) -> str:
    """A server that has one model, or names none, is asked by any name that is routed to it."""
    if len(growth.models) == 1:
        return next(iter(growth.models)) or ""
    return same.get(model, model)


def _shown(name: str, groups: Iterable[Billed]) -> str:
    ours = sorted({group.model for group in groups})
    if not ours or ours == [name]:
        return name or "(all models)"
    return f"{', '.join(ours)} ({name})" if name else ", ".join(ours)


def _line(
    model: str, direction: Direction, groups: list[Billed], counted: int, dialect: Dialect, bounds: Bounds
) -> Line:
    inside = sum(_tokens(group, direction, dialect) for group in groups if group.is_inside)
    at_edges = sum(_tokens(group, direction, dialect) for group in groups if not group.is_inside)
    unsure = sum(
        _tokens(group, direction, dialect)
        for group in groups
        if group.is_inside and not _is_counted(group, direction, dialect)
    )
    late = bounds.late_tokens * sum(group.requests for group in groups if _is_cut(group))
    least = inside - unsure
    most = inside + at_edges + (late if direction == "output" else 0)
    difference = min(counted - least, 0) + max(counted - most, 0)
    is_within = abs(difference) <= bounds.tolerance * max(counted, inside)
    return Line(model, direction, inside, at_edges, counted, least, most, difference, is_within)


def _tokens(group: Billed, direction: Direction, dialect: Dialect) -> int:
    if direction == "output":
        return group.output
    return group.input if dialect.counts_cached else group.input - group.cached


def _is_counted(group: Billed, direction: Direction, dialect: Dialect) -> bool:
    """Must the server have counted these?"""
    if not _is_cut(group):
        return True
    # a prompt is counted once it is read, which the first token shows
    return dialect.counts_unfinished and (direction == "output" or group.has_output)


def _is_cut(group: Billed) -> bool:
    return group.end_reason not in WHOLE


def _remarks(groups: Iterable[Billed]) -> Remarks:
    found = Remarks()
    for group in groups:
        if not group.is_inside:
            found.at_edges += group.requests
        if group.usage_source == "none":
            found.free += group.requests
        elif _is_cut(group):
            found.cut += group.requests
            found.cut_tokens += group.output
        elif group.end_reason == DRAINED:
            found.drained += group.requests
            found.drained_tokens += group.output
        if group.usage_source in ("tokenized", "estimated"):
            found.counted_by_us += group.requests
            found.counted_by_us_tokens += group.output
    return found
