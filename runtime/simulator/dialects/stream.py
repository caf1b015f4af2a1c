"""A streamed answer by position: the stages one after the other, and which bytes and tokens are out at each point."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from runtime.simulator import responses
from runtime.simulator.details import Details
from runtime.simulator.faults import Fault, FaultKind, Stage

EVENTS_PER_TURN = 256  # as with chat: long enough to be cheap, short enough to be fair to other streams


def _no_words(_: int) -> bytes:
    return b""


def _no_failure(_: int) -> Sequence[bytes]:
    return ()


@dataclass(frozen=True)
class Layout:
    """The events of a stream by stage. `word` makes the k-th of `words` events; `tokens_after` says how many tokens
    the first k of them used up; `error` and `failed` are what follows k of them when the server fails.
    """

    tokens_after: Callable[[int], int]
    words: int = 0
    word: Callable[[int], bytes] = _no_words
    opening: Sequence[bytes] = ()
    finish: Sequence[bytes] = ()
    usage: Sequence[bytes] = ()
    done: Sequence[bytes] = ()
    error: Callable[[int], Sequence[bytes]] = _no_failure
    failed: Callable[[int], Sequence[bytes]] | None = None
    ends: dict[Stage, int] = field(init=False)

    def __post_init__(self) -> None:
        opening = len(self.opening)
        finish = opening + self.words + len(self.finish)
        usage = finish + len(self.usage)
        ends = {
            Stage.OPENING: opening,
            Stage.WORDS: opening + self.words,
            Stage.FINISH: finish,
            Stage.USAGE: usage,
            Stage.DONE: usage + len(self.done),
        }
        object.__setattr__(self, "ends", ends)

    @property
    def first_word(self) -> int:
        return self.ends[Stage.OPENING]

    def event(self, position: int) -> bytes:
        for stage, events in ((Stage.OPENING, self.opening), (Stage.WORDS, None), (Stage.FINISH, self.finish)):
            if position < self.ends[stage]:
                if events is None:
                    return self.word(position - self.first_word)
                return events[position - self.ends[stage] + len(events)]
        last = self.usage if position < self.ends[Stage.USAGE] else self.done
        end = self.ends[Stage.USAGE if position < self.ends[Stage.USAGE] else Stage.DONE]
        return last[position - end + len(last)]


class Stream:
    """A layout as a source for a script, in the spelling that was ordered; `framed` as chunks, one per event."""

    per_turn = EVENTS_PER_TURN

    def __init__(self, layout: Layout, details: Details, *, framed: bool, is_text: bool = True) -> None:
        self._layout = layout
        self._details = details
        self._framed = framed
        self._respells = is_text and (details.line_end != b"\n" or not details.data_space)
        self.cut_short: int | None = None  # the event that lacks its last line end
        self.words_end = layout.ends[Stage.WORDS]
        self.count = layout.ends[Stage.DONE]

    def block(self, start: int, stop: int) -> bytes:
        return b"".join([self.framing(self.event(position)) for position in range(start, stop)])

    def event(self, position: int) -> bytes:
        """Without its framing."""
        event = self.spelled(self._layout.event(position))
        return event.removesuffix(self._details.line_end) if position == self.cut_short else event

    def tokens_before(self, position: int) -> int:
        words = min(max(position - self._layout.first_word, 0), self._layout.words)
        if not words and position < self.words_end:
            return 0
        return self._layout.tokens_after(words)

    def words_before(self, position: int) -> int:
        return min(max(position - self._layout.first_word, 0), self._layout.words)

    def stop_at(self, fault: Fault) -> int:
        """How many events go out before the fault; `after_bytes` is in `split_at`."""
        if fault.after_chunks is not None:
            return min(fault.after_chunks, self.count)
        if fault.after_tokens is not None:
            return bisect_left(range(self.words_end), fault.after_tokens, key=self.tokens_before)
        if fault.after is not None:
            return self._layout.ends[fault.after]
        ends = {FaultKind.NO_DONE: Stage.FINISH, FaultKind.NO_BLANK_LINE: Stage.DONE}
        return self._layout.ends[ends[fault.kind]] if fault.kind in ends else 0

    def split_at(self, size: int) -> tuple[int, bytes]:
        """How many whole events the first `size` bytes of the body are, and what they have of the next."""
        for position in range(self.count):
            event = self.event(position)
            if size < len(event):
                return position, event[:size]
            size -= len(event)
        return self.count, b""

    def failure(self, fault: Fault, stop_at: int) -> bytes:
        """What the server says when it fails there."""
        words = self.words_before(stop_at)
        says = self._layout.failed if fault.kind is FaultKind.FAILED else None
        events = (says or self._layout.error)(words)
        return b"".join([self.framing(self.spelled(event)) for event in events])

    def spelled(self, event: bytes) -> bytes:
        if not self._respells:
            return event
        if not self._details.data_space:
            event = event.replace(b"data: ", b"data:", 1)
        return event.replace(b"\n", self._details.line_end)

    def framing(self, event: bytes) -> bytes:
        return responses.frame(event) if self._framed and event else event
