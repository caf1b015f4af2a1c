"""The chat completion dialect: plan -> bytes, streamed or not.

Everything a plan fixes is put together once (`ChatAnswer`) and used for every request with the same body; a
request adds its id and the time. Events are made in blocks: with one choice, all the bytes between two words
of equal length are the same, so a block is a single `join`.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import orjson

from runtime.simulator import responses
from runtime.simulator.plan import Plan

ID_LENGTH = 32
CREATED_LENGTH = 10  # seconds since 1970, until the year 2286
# Word k of an answer is WORDS[k % 10_000]: no reader needs more different words.
WORDS: Sequence[bytes] = tuple(b"w%d " % number for number in range(10_000))
_LENGTH_ENDS = (10, 100, 1_000, 10_000)  # WORDS up to each of these are equally long
DONE = b"data: [DONE]\n\n"
SMALL_TOKENS = 2_048
SMALL_BYTES = 16 << 10
EVENTS_PER_TURN = 256  # about 50 kB: long enough to be cheap, short enough to be fair to other streams


class ChatAnswer:
    """Answers to one plan. `answer_id` is ID_LENGTH bytes, `created` CREATED_LENGTH digits."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.model = orjson.dumps(plan.model)
        self.usage = orjson.dumps(
            {
                "prompt_tokens": plan.prompt_tokens,
                "completion_tokens": plan.completion_tokens,
                "total_tokens": plan.prompt_tokens + plan.completion_tokens,
            }
        )

    @property
    def body_length(self) -> int:
        """Of the answer that is not streamed, in bytes."""
        return ID_LENGTH + CREATED_LENGTH + sum(map(len, self._body_parts))

    @cached_property
    def small(self) -> bool:
        """Whether it may be kept."""
        orders = self.plan.orders
        most = max(orders.content_bytes or 0, orders.big_header_bytes)
        return self.plan.completion_tokens <= SMALL_TOKENS and most <= SMALL_BYTES

    @cached_property
    def instant(self) -> bool:
        """Whether it goes out in one write, at once, and nothing is left to do."""
        orders = self.plan.orders
        delayed = orders.first_delay_ms or (orders.chunk_delay_ms and self.plan.tokens)
        ordinary = orders.fault is None and not orders.split_bytes and not delayed
        return self.small and ordinary and not self.plan.streamed

    def unstreamed(self, answer_id: bytes, created: bytes, connection: bytes = b"") -> bytes:
        """The whole HTTP answer; `connection` is nothing or CLOSING."""
        before_id, between, after = self._body_parts
        return b"".join(
            (responses.status_line(200), connection, self._headers, before_id, answer_id, between, created, after)
        )

    @cached_property
    def _headers(self) -> bytes:
        padding = responses.padding(self.plan.orders.big_header_bytes)
        return responses.headers(responses.JSON, self.body_length, padding)

    @cached_property
    def _body_parts(self) -> tuple[bytes, bytes, bytes]:
        choices = b",".join(self._choice(index) for index in range(self.plan.choices))
        return (
            b'{"id":"chatcmpl-',
            b'","object":"chat.completion","created":',
            b',"model":%b,"choices":[%b],"usage":%b}' % (self.model, choices, self.usage),
        )

    def _choice(self, index: int) -> bytes:
        return (
            b'{"index":%d,"message":{"role":"assistant","content":"%b","refusal":null},'
            b'"logprobs":null,"finish_reason":"%b"}'
        ) % (index, self._content(), self.plan.finish_reason.encode())

    def _content(self) -> bytes:
        size, tokens = self.plan.orders.content_bytes, self.plan.tokens
        if size is not None:
            return b"x" * size
        return b"".join(b"".join(WORDS[first:last]) for first, last in runs(0, tokens))


class ChatStream:
    """The events of one streamed answer, by position: roles, words, finishes, usage if asked for, [DONE].

    With several choices each kind takes turns over them. `framed` events carry the framing of a chunked body, one
    chunk per event, as real servers send them.
    """

    per_turn = EVENTS_PER_TURN

    def __init__(self, answer: ChatAnswer, answer_id: bytes, created: bytes, *, framed: bool = True) -> None:
        plan = answer.plan
        self._plan = plan
        self._usage = answer.usage
        self._framed = framed
        self._start = b"".join(
            (
                b'data: {"id":"chatcmpl-',
                answer_id,
                b'","object":"chat.completion.chunk","created":',
                created,
                b',"model":%b,"choices":[' % answer.model,
            )
        )
        self._end = b'],"usage":null}\n\n' if plan.include_usage else b"]}\n\n"
        self.first_word = plan.choices
        self.words_end = plan.choices + plan.completion_tokens
        self.finished_at = self.words_end + plan.choices
        self.count = self.finished_at + plan.include_usage + 1
        self._around_word: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def tokens_before(self, position: int) -> int:
        """How many completion tokens the first `position` events carry."""
        return min(max(position - self.first_word, 0), self._plan.completion_tokens)

    def block(self, start: int, stop: int) -> bytes:
        """The events from `start` up to `stop`."""
        if start >= self.first_word and stop <= self.words_end:
            return self._words(start - self.first_word, stop - self.first_word)
        words_start, words_stop = max(start, self.first_word), min(stop, self.words_end)
        parts = [self._other(position) for position in range(start, min(stop, self.first_word))]
        if words_start < words_stop:
            parts.append(self._words(words_start - self.first_word, words_stop - self.first_word))
        parts += [self._other(position) for position in range(max(start, self.words_end), stop)]
        return b"".join(parts)

    def _words(self, start: int, stop: int) -> bytes:
        choices = self._plan.choices
        if stop == start + 1:
            return self._word(start % choices, start // choices)
        if choices > 1:
            return b"".join([self._word(at % choices, at // choices) for at in range(start, stop)])
        return b"".join([self._run(first, last) for first, last in runs(start, stop)])

    def _run(self, first: int, last: int) -> bytes:
        before, after = self._around(0, len(WORDS[first]))
        return before + (after + before).join(WORDS[first:last]) + after

    def _word(self, index: int, number: int) -> bytes:
        word = WORDS[number % len(WORDS)]
        before, after = self._around(index, len(word))
        return before + word + after

    def _around(self, index: int, word_length: int) -> tuple[bytes, bytes]:
        """The bytes before and after a word of that length in the choice `index`."""
        around = self._around_word.get((index, word_length))
        if around is None:
            mark = b"\0" * word_length
            before, after = self._framing(self._delta(index, b'"content":"%b"' % mark, b"null")).split(mark)
            around = self._around_word[index, word_length] = (before, after)
        return around

    def _other(self, position: int) -> bytes:
        if position < self.first_word:
            return self._framing(self._delta(position, b'"role":"assistant","content":""', b"null"))
        if position < self.finished_at:
            reason = b'"%b"' % self._plan.finish_reason.encode()
            return self._framing(self._delta(position - self.words_end, b"", reason))
        if position < self.count - 1:
            return self._framing(self._start + b'],"usage":%b}\n\n' % self._usage)
        return self._framing(DONE)

    def _delta(self, index: int, delta: bytes, reason: bytes) -> bytes:
        choice = b'{"index":%d,"delta":{%b},"finish_reason":%b}' % (index, delta, reason)
        return self._start + choice + self._end

    def _framing(self, event: bytes) -> bytes:
        return responses.frame(event) if self._framed else event


def runs(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Word numbers from `start` up to `stop` as slices of WORDS in which all words are equally long."""
    while start < stop:
        at = start % len(WORDS)
        end = next(end for end in _LENGTH_ENDS if at < end)
        yield at, min(end, at + stop - start)
        start += min(end - at, stop - start)
