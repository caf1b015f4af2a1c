"""The simulator's dialects without a socket: what a server of some kind answers to one request."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from runtime.simulator.dialects.reply import Reply, kind_of, locate, reply_to
from runtime.simulator.performing import perform
from runtime.simulator.script import Script
from runtime.simulator.settings import SimulatorSettings

FOLDER = Path(__file__).parents[1] / "data" / "dialects"
SETTINGS = SimulatorSettings(models=("tiny", "dall-e-3"), tokens=3)
ANSWER_ID = "0123456789abcdef0123456789abcdef"
CREATED = 1_790_000_000
CHAT = "/v1/chat/completions"


@cache
def cases() -> Mapping[str, Mapping[str, Any]]:
    """By name: `kind`, `path` and `body` of the request whose answer is in the file of that name."""
    found: Mapping[str, Mapping[str, Any]] = orjson.loads((FOLDER / "cases.json").read_bytes())
    return found


def recorded(name: str) -> bytes:
    return (FOLDER / f"{name}.txt").read_bytes()


def answered(name: str) -> bytes:
    """The body that the simulator sends in the case of that name."""
    case = cases()[name]
    return body_of(case["kind"], case["path"], case["body"])


def names_of(*kinds: str, path: str | None = None) -> list[str]:
    """The cases of these kinds (of all, if none is named), in the order of the file."""
    return [
        name
        for name, case in cases().items()
        if (not kinds or case["kind"] in kinds) and (path is None or case["path"].startswith(path))
    ]


def reply_of(kind: str, path: str, body: Mapping[str, Any]) -> Reply:
    place = locate(f"/kinds/{kind}{path}".encode())
    assert place is not None, path
    raw = {"model": "tiny", **body}
    return reply_to(kind_of(place, raw, SETTINGS), place, raw, SETTINGS, ANSWER_ID, CREATED)


def script_of(kind: str, path: str, body: Mapping[str, Any], *, framed: bool = False, close: bool = False) -> Script:
    return perform(reply_of(kind, path, body), framed=framed, close=close)


def played(script: Script) -> bytes:
    """All of it, head included."""
    return script.head + script.source.block(0, script.stop_at) + script.tail


def body_of(kind: str, path: str, body: Mapping[str, Any]) -> bytes:
    return played(script_of(kind, path, body)).partition(b"\r\n\r\n")[2]


def chat(simulate: dict[str, Any] | None = None, *, asked: bool = False, **fields: Any) -> dict[str, Any]:
    """A streamed chat with seven prompt tokens; `asked` for usage."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "one two three"}], "stream": True}
    options = {"stream_options": {"include_usage": True}} if asked else {}
    return body | options | fields | ({"simulate": simulate} if simulate else {})


def chunks_of(data: bytes) -> list[dict[str, Any]]:
    """The JSON of each `data:` line, without `[DONE]`."""
    lines = [line.strip() for line in data.split(b"\n") if line.startswith(b"data: ")]
    return [orjson.loads(line[6:]) for line in lines if line != b"data: [DONE]"]
