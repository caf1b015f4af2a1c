"""What `farebox up` asks of the network; the answers come from a server of aiohttp's own, or from nobody."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.local import reach
from proxy.local.parts import OwnProcess
from proxy.local.reach import models_of, until_ready
from proxy.process.starting import StartError, free_port

HOST = "127.0.0.1"


@asynccontextmanager
async def answering(path: str, answer: Callable[[web.Request], web.Response]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_get(path, handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    yield f"http://{HOST}:{runner.addresses[0][1]}"
    await runner.cleanup()


def listing(listed: Any) -> Callable[[web.Request], web.Response]:
    return lambda _: web.json_response(listed)


async def test_the_models_that_a_server_lists() -> None:
    listed = {"data": [{"id": "tiny"}, {"id": "large"}, {"id": 5}]}
    async with answering("/v1/models", listing(listed)) as url:
        assert await models_of(f"{url}/v1", None) == ["tiny", "large"]


@pytest.mark.parametrize("api_key", [None, "sk-upstream"])
async def test_it_is_asked_with_its_key(api_key: str | None) -> None:
    def check(request: web.Request) -> web.Response:
        assert request.headers.get("Authorization") == (f"Bearer {api_key}" if api_key else None)
        return web.json_response({"data": [{"id": "tiny"}]})

    async with answering("/models", check) as url:
        assert await models_of(url, api_key) == ["tiny"]


@pytest.mark.parametrize("listed", [{"data": []}, {"data": None}, {}, [], "models", {"data": [{}]}, {"data": ["tiny"]}])
async def test_a_server_without_a_list_of_models(listed: Any) -> None:
    async with answering("/models", listing(listed)) as url:
        with pytest.raises(StartError, match="--upstream"):
            await models_of(url, None)


async def test_a_server_that_refuses_or_is_none() -> None:
    async with answering("/models", lambda _: web.Response(status=401)) as url:
        with pytest.raises(StartError, match="no list of models"):
            await models_of(url, None)
    async with answering("/models", lambda _: web.Response(text="<html>")) as url:
        with pytest.raises(StartError, match="no list of models"):
            await models_of(url, None)
    with pytest.raises(StartError, match="no list of models"):
        await models_of(f"http://{HOST}:{free_port(HOST)}", None)


class Process(OwnProcess):
    """One that has not ended, or has."""

    def __init__(self, log: Path, code: int | None = None) -> None:
        super().__init__("serve", [], log)
        log.write_text("config: listen.port: required\n")
        self.code = code

    @property
    def exit_code(self) -> int | None:
        return self.code


async def test_ready_when_it_answers_200_and_not_before(tmp_path: Path) -> None:
    statuses = [503, 404, 200]
    async with answering("/readyz", lambda _: web.Response(status=statuses.pop(0))) as url:
        await until_ready(Process(tmp_path / "log"), f"{url}/readyz")
    assert statuses == []


async def test_a_process_that_ended_says_why(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"serve ended with exit code 2:\n.*listen.port: required"):
        await until_ready(Process(tmp_path / "log", 2), f"http://{HOST}:{free_port(HOST)}/readyz")


async def test_a_process_that_is_never_ready_says_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_READY_TIMEOUT_S", 0.001)
    with pytest.raises(StartError, match=r"serve is not ready after.*\n.*listen.port: required"):
        await until_ready(Process(tmp_path / "log"), f"http://{HOST}:{free_port(HOST)}/readyz")
