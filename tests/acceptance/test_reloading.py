"""A configuration that changes while the program runs: from the next request on, all of it or nothing."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.processes import Child
from tests.support.calling import CHAT, Caller, chat, events
from tests.support.installation import free_port
from tests.support.office import Customer, Office
from tests.support.program import TINY, UPSTREAM_KEY, Program
from tests.support.waiting import read, until

TOKENS = 40
PACED: dict[str, Any] = chat(simulate={"tokens": TOKENS, "chunk_delay_ms": 40}, stream=True)
SHORT: dict[str, Any] = chat(simulate={"tokens": 1})


class Running:
    """A proxy on a file of the test's own."""

    def __init__(self, call: Caller, folder: Path, tree: dict[str, Any]) -> None:
        self.call = call
        self.config = folder / "config.yaml"
        self.tree = tree
        self.child: Child
        self.base_url = ""
        self._log_path: Path
        self.write()

    async def start(self, *options: str, times: int = 1) -> None:
        started = await self.call.program.start_proxy_on(self.config, *options, times=times)
        self.child, self.base_url, self._log_path = started

    def write(self, **sections: Any) -> None:
        self.config.write_text(yaml.safe_dump(self.tree | sections))

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in read(self._log_path).splitlines() if line.endswith("}")]
        return [line for line in lines if line["event"] == event]

    async def until_said(self, event: str, times: int = 1) -> dict[str, Any]:
        await until(lambda: len(self.said(event)) >= times)
        return self.said(event)[-1]

    async def hang_up(self, event: str = "config_reloaded", times: int = 1) -> dict[str, Any]:
        self.child.send(signal.SIGHUP)
        return await self.until_said(event, times)

    async def status(self, customer: Customer, body: dict[str, Any]) -> tuple[int, str | None]:
        answer = await self.call.ask(customer, body, base_url=self.base_url)
        return answer.status, None if answer.status == 200 else answer.error["code"]


Make = Callable[..., Running]


@pytest.fixture
async def make(call: Caller, tmp_path: Path) -> AsyncIterator[Make]:
    """Sections are laid over those of the running program; nobody looks at the file unless a section says so."""
    made: list[Running] = []

    def make(**sections: Any) -> Running:
        tree = yaml.safe_load(call.program.config.read_text()) | {"reload": {"interval_s": 0}} | sections
        made.append(Running(call, tmp_path, tree))
        return made[-1]

    yield make
    for running in made:
        await running.child.stop()


def upstreams(program: Program, **changes: Any) -> list[dict[str, Any]]:
    return [{"name": "main", "url": program.upstream_url, "api_key": UPSTREAM_KEY, "models": [TINY]} | changes]


@pytest.fixture
async def customer(office: Office) -> Customer:
    return await office.customer()


async def test_a_request_that_runs_keeps_its_upstream_and_the_next_one_has_the_new(
    make: Make, office: Office, customer: Customer, program: Program
) -> None:
    running = make()
    await running.start()
    async with running.call.http.post(running.base_url + CHAT, json=PACED, headers=customer.auth) as answer:
        await answer.content.readline()
        running.write(upstreams=upstreams(program, models=["another"]))
        assert (await running.hang_up())["settings"] == "upstreams"
        assert await running.status(customer, SHORT) == (404, "model_not_found")
        rest = await answer.read()
    assert len(events(rest)) == TOKENS + 2
    row = await office.usage(answer.headers["x-request-id"])
    assert row["end_reason"] == "completed"
    running.write()
    await running.hang_up(times=2)
    assert await running.status(customer, SHORT) == (200, None)


async def test_limits_change_for_the_next_request(make: Make, customer: Customer) -> None:
    running = make()
    await running.start()
    long = chat() | {"user": "x" * 3000}
    assert await running.status(customer, long) == (200, None)
    running.write(listen=running.tree["listen"] | {"max_body_bytes": 2048})
    await running.hang_up()
    assert await running.status(customer, long) == (413, "request_too_large")
    running.write()
    await running.hang_up(times=2)
    assert await running.status(customer, long) == (200, None)


async def test_a_file_with_a_mistake_changes_nothing_and_is_told_without_its_secrets(
    make: Make, customer: Customer, program: Program
) -> None:
    running = make()
    await running.start()
    running.write(upstreams=upstreams(program, models=["another"]), log={"level": "xyzzy-loud"})
    assert (await running.hang_up("config_not_reloaded"))["reason"].startswith("log.level: ")
    assert await running.status(customer, SHORT) == (200, None)
    assert "xyzzy" not in read(running._log_path)


async def test_what_needs_a_new_process_is_named_and_the_rest_is_in_force(
    make: Make, customer: Customer, program: Program
) -> None:
    running = make()
    await running.start()
    listen = running.tree["listen"] | {"port": free_port()}
    running.write(listen=listen, upstreams=upstreams(program, models=["another"]))
    assert (await running.hang_up())["settings"] == "upstreams"
    assert (await running.until_said("config_needs_restart"))["settings"] == "listen.port"
    assert await running.status(customer, SHORT) == (404, "model_not_found")


async def test_a_key_that_the_provider_no_longer_has_is_replaced_without_being_told(
    make: Make, customer: Customer, program: Program, tmp_path: Path
) -> None:
    """As Kubernetes does it: the file is a link through `..data`, which is renamed over."""
    for name, secret in (("old", "sk-revoked"), ("new", UPSTREAM_KEY)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "api-key").write_text(f"{secret}\n")
    (tmp_path / "..data").symlink_to("old")
    (tmp_path / "api-key").symlink_to("..data/api-key")
    changes = {"api_key": None, "api_key_file": str(tmp_path / "api-key")}
    running = make(upstreams=upstreams(program, **changes), reload={"interval_s": 0.05})
    await running.start()
    assert await running.status(customer, SHORT) == (502, "upstream_error")
    (tmp_path / "..data_tmp").symlink_to("new")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert (await running.until_said("config_reloaded"))["settings"] == "upstreams"
    assert await running.status(customer, SHORT) == (200, None)


async def test_every_worker_reads_it_again(make: Make, customer: Customer, program: Program) -> None:
    running = make(listen={"host": "127.0.0.1", "port": free_port()})
    await running.start("--workers", "2", times=2)
    running.write(upstreams=upstreams(program, models=["another"]))
    await running.hang_up(times=2)
    answers = await asyncio.gather(*(running.status(customer, SHORT) for _ in range(8)))
    assert set(answers) == {(404, "model_not_found")}


async def test_administrators_routes_are_at_the_public_port_only_while_that_is_asked_for(make: Make) -> None:
    running = make()
    await running.start()
    url, listen = f"{running.base_url}/api/ai-api/admin/users", {"host": "127.0.0.1", "port": 0}

    async def status() -> int:
        async with running.call.http.get(url) as answer:
            return answer.status

    assert await status() == 401
    running.write(listen=listen)
    assert (await running.hang_up())["settings"] == "listen.admin_on_public_port"
    assert await status() == 404
    running.write(listen=listen | {"admin_on_public_port": True})
    await running.hang_up(times=2)
    assert await status() == 401


async def test_pages_may_call_from_a_browser_only_if_their_origin_is_listed(make: Make, customer: Customer) -> None:
    ours, others = {"origin": "https://shop.example.com"}, {"origin": "https://other.example.com"}
    running = make()
    await running.start()
    listen = running.tree["listen"] | {"cors_origins": [ours["origin"]]}

    async def asked(origin: dict[str, str]) -> dict[str, str | None]:
        """What a browser is told before it sends the request, and with the answer to it."""
        asking = origin | {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        async with running.call.http.options(running.base_url + CHAT, headers=asking) as preflight:
            told = {"preflight": preflight.headers.get("access-control-allow-headers")}
        for name, body in (("whole", SHORT), ("stream", PACED), ("refused", chat("nobodys-model"))):
            sent = running.call.http.post(running.base_url + CHAT, json=body, headers=customer.auth | origin)
            async with sent as answer:
                told[name] = answer.headers.get("access-control-allow-origin")
                await answer.read()
        return told

    nothing = dict.fromkeys(("preflight", "whole", "stream", "refused"))
    assert await asked(ours) == nothing
    running.write(listen=listen)
    assert (await running.hang_up())["settings"] == "listen.cors_origins"
    assert await asked(others) == nothing
    assert await asked(ours) == dict.fromkeys(nothing, ours["origin"]) | {"preflight": "authorization"}


async def test_an_upstream_that_is_configured_as_before_keeps_what_waits_for_it(
    make: Make, office: Office, customer: Customer, program: Program
) -> None:
    """One request at a time: a reload must not let a second one in beside the first."""
    narrow = upstreams(program, max_connections=1, max_waiting=0)
    running = make(upstreams=narrow)
    await running.start()
    async with running.call.http.post(running.base_url + CHAT, json=PACED, headers=customer.auth) as answer:
        await answer.content.readline()
        running.write(holds={"step_tokens": 64}, models=[{"name": TINY, "body": {"seed": 1}}])
        await running.hang_up()
        assert await running.status(customer, SHORT) == (503, "overloaded")
        await answer.read()
    assert await running.status(customer, SHORT) == (200, None)
