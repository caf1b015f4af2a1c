"""A server's page of metrics over HTTP: within bounds, and our credential to nobody else."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from proxy.reconcile import scrape as scraping
from proxy.reconcile.errors import ReconcileError
from proxy.reconcile.scrape import metrics_url_of, scrape
from runtime.settings import Upstream

PAGE = "llamacpp:prompt_tokens_total 5\nllamacpp:tokens_predicted_total 7\n"


@asynccontextmanager
async def serving(
    answer: web.Response | None = None, *, tls: ssl.SSLContext | None = None, socket: Path | None = None
) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """The address of a server that answers every request alike, and what it was asked."""
    asked: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        if answer is None:
            return web.Response(text=PAGE)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        if socket is not None:
            await web.UnixSite(runner, str(socket)).start()
            yield "http://llm.internal", asked
            return
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def upstream(url: str) -> Upstream:
    return Upstream.model_validate({"name": "main", "url": f"{url}/v1", "kind": "llamacpp", "api_key": "sk-secret"})


async def test_the_page_is_at_the_origin_of_the_api_and_asked_for_with_its_credential() -> None:
    async with serving() as (url, asked):
        taken = await scrape(upstream(url))
        assert metrics_url_of(upstream(url)) == taken.scraped[0].url == f"{url}/metrics"
        assert asked[0].headers["Authorization"] == "Bearer sk-secret"
    assert [series.tokens for series in taken.pages[0].series] == [5, 7]
    assert taken.window.begun_ms <= taken.window.ended_ms


async def test_another_server_gets_no_credential() -> None:
    async with serving() as (ours, _), serving() as (other, asked):
        taken = await scrape(upstream(ours), [f"{other}/metrics", f"{ours}/m"])
        assert "Authorization" not in asked[0].headers
    assert [one.url for one in taken.scraped] == [f"{other}/metrics", f"{ours}/m"]


async def test_a_server_behind_a_socket(tmp_path: Path) -> None:
    async with serving(socket=tmp_path / "llm.sock") as (url, asked):
        taken = await scrape(upstream(url).model_copy(update={"unix_socket": tmp_path / "llm.sock"}))
    assert [series.tokens for series in taken.pages[0].series] == [5, 7] and len(asked) == 1


async def test_a_server_with_a_certificate_of_our_own_authority(certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with serving(tls=context) as (url, _):
        with pytest.raises(ReconcileError, match="cannot be read"):
            await scrape(upstream(url))
        ours = Upstream.model_validate({"url": url, "kind": "llamacpp", "tls": {"ca_file": certificate[0]}})
        assert [series.tokens for series in (await scrape(ours)).pages[0].series] == [5, 7]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (web.Response(status=503), "answers 503"),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "answers 302"),
        (web.Response(body=b"x" * 2000), "more than 1000 bytes"),
        (web.Response(body=b"\xff\xfe"), "not a page of metrics"),
        (web.Response(body=b"<html>"), "not a page of metrics: line 1"),
        (web.Response(body=b"a 1\n"), "no token counters of llamacpp"),
        (web.Response(body=b"no gzip", headers={"Content-Encoding": "gzip"}), "cannot be read"),
    ],
)
async def test_what_is_no_such_page_is_said(answer: web.Response, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "MAX_PAGE_BYTES", 1000)
    async with serving(answer) as (url, _):
        with pytest.raises(ReconcileError, match=why):
            await scrape(upstream(url))


async def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(ReconcileError, match="cannot be read"):
        await scrape(upstream("http://127.0.0.1:1"))
