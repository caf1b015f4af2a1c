"""`farebox reconcile`: what is billed is what a server's own counters say, for each kind that has any."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from click.testing import CliRunner

from proxy.cli import cli
from runtime.processes import Child, start_child
from tests.support.calling import Caller, chat
from tests.support.office import Office
from tests.support.program import IMPATIENT, MISTRUSTED, OUTPUT_ONLY, TINY, Program, environment
from tests.support.waiting import until

# A model for each, of those that have a price.
SERVED = {"vllm": TINY, "sglang": OUTPUT_ONLY, "llamacpp": IMPATIENT, "tgi": MISTRUSTED}
KINDS = tuple(SERVED)
LONG = {"tokens": 5_000, "chunk_delay_ms": 20}
_UNSET = [name for name in os.environ if name not in environment()]
EXACT = ("--slack", "0s", "--tolerance", "0", "--json")


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server of each kind, by the address of its API."""
    folder = tmp_path_factory.mktemp("simulators")

    async def start() -> tuple[list[Child], dict[str, str]]:
        children, found = [], {}
        for kind in KINDS:
            log = folder / f"{kind}.log"
            argv = ["proxy", "simulate", "--port", "0", "--kind", kind, "--model", SERVED[kind]]

            children.append(start_child([sys.executable, "-m", *argv], name=kind, env=environment(), log_path=log))
        for kind in KINDS:
            log = folder / f"{kind}.log"
            await until(partial(_has_said, log))
            found[kind] = log.read_text().split("listening on ")[1].split(",")[0]
        return children, found

    children, found = asyncio.run(start())
    yield found

    async def stop() -> None:
        await asyncio.gather(*(child.stop() for child in children))

    asyncio.run(stop())


def _has_said(log: Path) -> bool:
    return log.exists() and "listening on " in log.read_text()


@pytest.fixture(scope="module")
def sections(urls: dict[str, str]) -> dict[str, Any]:
    return {"upstreams": [{"name": k, "kind": k, "url": urls[k], "models": [SERVED[k]]} for k in KINDS]}


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


async def farebox(program: Program, *arguments: object) -> tuple[int, str]:
    """As `program.run_to_end`, in a thread of this process: a second saved each time."""
    typed = ["reconcile", "--config", str(program.config), *map(str, arguments)]
    ended = await asyncio.to_thread(CliRunner().invoke, cli, typed, env=dict.fromkeys(_UNSET))
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        return 1, str(ended.exception)
    return ended.exit_code, ended.output


async def reconcile(program: Program, *options: object) -> tuple[int, Any]:
    code, said = await farebox(program, *options)
    assert "{" in said, said
    return code, json.loads(said[said.index("{") :])


async def snapshot(program: Program, kind: str, path: Path) -> Path:
    code, said = await farebox(program, "snapshot", "--upstream", kind, "--out", path)
    assert code == 0, said
    return path


async def traffic(call: Caller, office: Office, model: str) -> None:
    """Streams, whole answers, and clients that leave in the middle."""
    customer = await office.customer()
    answers = [await call.ask(customer, chat(model, simulate={"tokens": tokens})) for tokens in (3, 50)]
    assert [answer.status for answer in answers] == [200, 200]
    async with call.stream(customer, chat(model, simulate={"tokens": 400})) as answer:
        assert answer.status == 200
        await answer.read()
    for _ in range(2):
        async with call.stream(customer, chat(model, simulate=LONG)) as answer:
            seen = 0
            async for line in answer.content:
                seen += line.startswith(b"data: ")
                if seen == 5:
                    break
            answer.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_billed_is_counted(program: Program, call: Caller, office: Office, tmp_path: Path, kind: str) -> None:
    before = await snapshot(program, kind, tmp_path / "a.json")
    await traffic(call, office, SERVED[kind])
    await office.settled()
    after = await snapshot(program, kind, tmp_path / "b.json")
    code, found = await reconcile(program, "--from", before, "--to", after, *EXACT)
    assert (code, found["within"], found["was_reset"]) == (0, True, False), found
    (prompt, output) = found["lines"]
    assert (prompt["model"], prompt["direction"], output["direction"]) == _named(kind)
    # three whole answers, which both count to the last token, and two that were cut
    assert output["least"] >= 453 and output["counted"] >= 453 and output["billed"] > 453
    assert prompt["counted"] >= 3 * 7 and prompt["billed"] == 5 * 7
    (remarks,) = found["remarks"].values()
    assert (remarks["cut"], remarks["at_edges"], remarks["drained"], remarks["free"]) == (2, 0, 0, 0)


def _named(kind: str) -> tuple[str, str, str]:
    return SERVED[kind], "input", "output"


async def test_what_goes_past_the_proxy_is_found(
    program: Program, http: aiohttp.ClientSession, urls: dict[str, str], tmp_path: Path
) -> None:
    """Somebody asks the server without us: it counts, and nobody is billed."""
    before = await snapshot(program, "vllm", tmp_path / "a.json")
    async with http.post(f"{urls['vllm']}/chat/completions", json=chat(TINY, simulate={"tokens": 9})) as answer:
        assert answer.status == 200
    code, found = await reconcile(program, "--from", before, *EXACT)
    assert (code, found["within"]) == (1, False)
    assert [(line["billed"], line["counted"], line["difference"]) for line in found["lines"]] == [(0, 7, 7), (0, 9, 9)]
    code, said = await farebox(program, "--from", before, "--slack", "0s")
    assert code == 1 and "DIFFERS" in said and said.endswith("billed and counted DIFFER\n")


async def test_a_request_that_still_runs_is_said(
    program: Program, call: Caller, office: Office, tmp_path: Path
) -> None:
    customer = await office.customer()
    before = await snapshot(program, "vllm", tmp_path / "a.json")
    async with call.stream(customer, chat(TINY, simulate=LONG)) as answer:
        await answer.content.readline()
        code, found = await reconcile(program, "--from", before, "--wait", "0s", *EXACT)
        assert (code, found["within"], found["still_running"]) == (1, False, 1)
        # after the second reading it ends: then it ran at an edge, and how much of it was counted is not known
        after = await snapshot(program, "vllm", tmp_path / "b.json")
        answer.close()
    await office.settled()
    code, found = await reconcile(program, "--from", before, "--to", after, *EXACT)
    assert (code, found["still_running"]) == (0, 0), found
    (remarks,) = found["remarks"].values()
    assert (remarks["at_edges"], found["lines"][1]["billed"]) == (1, 0)


async def test_a_server_that_began_anew_cannot_be_compared(
    program: Program, call: Caller, office: Office, http: aiohttp.ClientSession, urls: dict[str, str], tmp_path: Path
) -> None:
    await traffic(call, office, OUTPUT_ONLY)
    await office.settled()
    before = await snapshot(program, "sglang", tmp_path / "a.json")
    async with http.delete(urls["sglang"].removesuffix("/v1") + "/simulator/requests") as answer:
        assert answer.status == 200
    code, found = await reconcile(program, "--from", before, *EXACT)
    assert (code, found["was_reset"], found["within"]) == (1, True, False)


async def test_an_interval_in_which_nothing_happens(program: Program) -> None:
    code, found = await reconcile(program, "--upstream", "llamacpp", "--interval", "1s", *EXACT)
    assert (code, found["within"]) == (0, True)
    assert [(line["billed"], line["counted"]) for line in found["lines"]] == [(0, 0), (0, 0)]


async def test_what_cannot_be_read_is_said(program: Program, urls: dict[str, str], tmp_path: Path) -> None:
    closed = "http://127.0.0.1:1/metrics"
    wrong = f"{urls['vllm']}/models"
    out = tmp_path / "a.json"
    for options, code, text in (
        (("--upstream", "vllm", "--metrics-url", closed), 1, "cannot be read"),
        (("--upstream", "vllm", "--metrics-url", wrong), 1, "not a page of metrics"),
        (("--upstream", "vllm", "--metrics-url", urls["tgi"]), 1, "answers 404"),
        (
            ("--upstream", "vllm", "--metrics-url", urls["sglang"].removesuffix("v1") + "metrics"),
            1,
            "no token counters",
        ),
        (("--upstream", "vllm", "--metrics-url", "http://a:b@c/metrics"), 2, "without user and password"),
        (("--upstream", "none"), 2, "must be one of vllm, sglang, llamacpp, tgi"),
        ((), 2, "must be one of"),
    ):
        ended = await farebox(program, "snapshot", "--out", out, *options)
        assert ended[0] == code and text in ended[1], ended
    assert not out.exists()
    out.write_text(yaml.safe_dump({"a": 1}))
    # once as it is typed: an error is a line, not a traceback
    ended = await program.run_to_end("reconcile", "--from", str(out))
    assert ended[0] == 1 and ended[1].startswith("farebox: ") and "not a snapshot" in ended[1]
