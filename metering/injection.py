"""What we add to a request so as to be told what it used, and what has to be taken out of the answer for it.

A stream of OpenAI's chat or completions reports only if asked, in one extra chunk with empty `choices`; servers that
are asked may also put `"usage":null` on every other chunk. vLLM, SGLang and TensorRT-LLM can count along on each
chunk, llama.cpp in its timings. The client sees none of it unless it asked itself.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from msgspec import Struct

from metering.formats.format import WireFormat, limited
from metering.kinds import Kind

# Of a large body so much is looked at, from a quote on; a byte is found a hundred times faster than names are.
_LOOK_BYTES = 4096
# More than any name that decides something, and its quotes.
_MAX_NAME_BYTES = 64
# Formats that know `stream_options`.
_INJECTABLE = frozenset(("chat", "completions"))


class Removal(Struct, frozen=True):
    """What is taken out of a stream on its way to the client."""

    usage_chunk: bool = False  # the chunk that is there for usage alone
    nulls: bool = False  # `"usage":null`
    running: bool = False  # usage on chunks that carry a piece of the answer
    timings: bool = False  # llama.cpp's timings, on all chunks but the last

    def __bool__(self) -> bool:
        return self.usage_chunk or self.nulls or self.running or self.timings


NOTHING_REMOVED = Removal()


class Outgoing(Struct, frozen=True):
    """A request body as it goes upstream, and what to take out of the answer. `is_asking`: we added a question."""

    body: bytes
    removal: Removal = NOTHING_REMOVED
    is_asking: bool = False


def outgoing(
    raw: bytes,
    request: Mapping[str, Any],
    wire: WireFormat,
    kind: Kind,
    *,
    may_ask: bool = True,
    output_limit: int | None = None,
    parsed: bytes | None = None,
    whole: Callable[[], Mapping[str, Any]] | None = None,
) -> Outgoing:
    """The body to send upstream for `raw`, which parsed to `request`; `may_ask` False: the server refused our question.

    Where only the outline of `raw` was `parsed` to `request`, `whole` gives what all of it parses to.

    The client's bytes go as they came, with our options spliced in, unless another parser could read them
    differently from ours: then what we read, priced and held is what is sent. So it is where `output_limit` lowers the
    client's own.
    """
    if output_limit is not None:
        request, whole = request if whole is None else whole(), None
        names = kind.limits if wire.name == "chat" else wire.limits
        request = limited(request, output_limit, names, wire.limits_in, new=kind.new_limit)
    given = request.get("stream_options")
    options: dict[str, Any] = given if isinstance(given, dict) else {}
    asked = _questions(request, options, kind) if may_ask and _is_stream(request, wire.name) else _NO_QUESTIONS
    added = asked.fields | _limit_it_knows(request, kind)
    is_ours = output_limit is not None or _could_be_read_otherwise(parsed or raw, request, options, wire.decides)
    if not (is_ours or added or asked.options):
        return Outgoing(raw)
    spliced = added | ({"stream_options": asked.options} if asked.options else {})
    # a field that is there already, if only as null, may not come twice
    if is_ours or not spliced.keys().isdisjoint(request):
        every = request if whole is None else whole()
        body = orjson.dumps(_plain(every, options, added, asked.options, wire.decides))
    else:
        body = _with(raw, spliced)
    return Outgoing(body, _removal(options, asked, wire.name, kind), bool(asked.options or asked.fields))


def _is_stream(request: Mapping[str, Any], format_name: str) -> bool:
    return format_name in _INJECTABLE and request.get("stream") is True


@dataclass(frozen=True, slots=True)
class _Questions:
    options: dict[str, Any]
    fields: dict[str, Any]


_NO_QUESTIONS = _Questions({}, {})


def _questions(request: Mapping[str, Any], options: Mapping[str, Any], kind: Kind) -> _Questions:
    asked: dict[str, Any] = {}
    if (kind.asks_usage or kind.running) and options.get("include_usage") is not True:
        asked["include_usage"] = True
    if kind.running and options.get("continuous_usage_stats") is not True:
        asked["continuous_usage_stats"] = True
    timings = kind.timings and request.get("timings_per_token") is not True
    return _Questions(asked, {"timings_per_token": True} if timings else {})


def _limit_it_knows(request: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """The client's limit under a name that this server honours: one that it ignores would bound nothing."""
    ignored = request.get("max_completion_tokens")
    if ignored is None or any(request.get(name) is not None for name in kind.limits):
        return {}
    return {kind.limits[0]: ignored}


def _removal(options: Mapping[str, Any], asked: _Questions, format_name: str, kind: Kind) -> Removal:
    we_ask_usage = "include_usage" in asked.options
    # what the client asked for, and would have got without our asking for the other
    theirs_anyway = options.get("continuous_usage_stats") is True and (not we_ask_usage or kind.running_alone)
    return Removal(
        usage_chunk=we_ask_usage,
        nulls=we_ask_usage and format_name not in kind.null_usage,
        running=bool(asked.options) and kind.running and not theirs_anyway,
        timings=bool(asked.fields),
    )


def _with(raw: bytes, added: dict[str, Any]) -> bytes:
    """An object with more fields at its end, copied once."""
    end = len(raw.rstrip()) - 1
    return b"".join((memoryview(raw)[:end], b",", memoryview(orjson.dumps(added))[1:]))


def _could_be_read_otherwise(
    raw: bytes, request: Mapping[str, Any], options: Mapping[str, Any], decides: frozenset[str]
) -> bool:
    # A doubled key is legal JSON and parsers differ on which one counts; an escape (`"mod\u0065l"`) can hide it.
    # A megabyte is looked through for one byte in 9 us, for several in 900. Not with `in`: it first takes what it looks
    # for as a number, and makes an error of it.
    if raw.find(b"\\") >= 0 and raw.find(b"\\u00") >= 0:
        return True
    if _has_lookalike(request, decides) or (options and _has_lookalike(options, decides)):
        return True
    found = _named(raw, _quoted(decides))
    names = set(map(_text, found))
    return len(names) < len(found) or not names - request.keys() <= options.keys()


def _named(raw: bytes, quoted: re.Pattern[bytes]) -> list[bytes]:
    """All names that it finds, in their order. Where no quote stands, as in pictures, it is not asked to look."""
    if len(raw) <= _LOOK_BYTES:
        return quoted.findall(raw)
    found: list[bytes] = []
    at = raw.find(b'"')
    while at >= 0:
        end = at + _LOOK_BYTES
        # the last name may begin here and end there
        found += [match[1] for match in quoted.finditer(raw, at, end + _MAX_NAME_BYTES) if match.start() < end]
        at = raw.find(b'"', end)
    return found


@cache
def _quoted(names: frozenset[str]) -> re.Pattern[bytes]:
    """Any of these names between quotes: all at once, in the time of one JSON parse."""
    return re.compile(b'"(%b)(?=")' % b"|".join(re.escape(name).encode() for name in sorted(names)))


@cache
def _text(name: bytes) -> str:
    """Of the few names that `_quoted` finds."""
    return name.decode()


def _has_lookalike(fields: Mapping[str, Any], decides: frozenset[str]) -> bool:
    # in one step over what every request has; few names are left to be asked one by one
    others = fields.keys() - decides
    return bool(others) and any(_is_lookalike(name, decides) for name in others)


def _is_lookalike(name: str, decides: frozenset[str]) -> bool:
    """Go's parser, and so Ollama, ignores case: to it `Model` is a second `model`, and the last one counts."""
    return name not in decides and name.casefold() in decides


def _plain(
    request: Mapping[str, Any],
    options: Mapping[str, Any],
    fields: dict[str, Any],
    asked: dict[str, Any],
    decides: frozenset[str],
) -> dict[str, Any]:
    """The request with no key that could be taken for another, with what is added to it."""
    plain = {name: value for name, value in request.items() if not _is_lookalike(name, decides)} | fields
    if options or asked:
        plain["stream_options"] = {n: v for n, v in options.items() if not _is_lookalike(n, decides)} | asked
    return plain
