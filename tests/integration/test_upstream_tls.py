"""The pool over TLS."""

import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from proxy.upstream.errors import (
    UpstreamConnectError,
)
from proxy.upstream.pool import PoolLimits, UpstreamPool
from tests.support.asking import MEGABYTE, REQUEST, ask, echo_forever
from tests.support.both_loops import BOTH_LOOPS, LoopFactory, run_on
from tests.support.scripted_server import RecordingSink, ScriptedServer, serve


async def over_tls(paths: tuple[Path, Path], scenario: Callable[[ScriptedServer], Coroutine[None, None, None]]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*paths)
    async with serve(echo_forever, tls=context) as server:
        await scenario(server)


@BOTH_LOOPS
def test_https_verifies_the_server_and_keeps_the_connection(
    loop_factory: LoopFactory, certificate: tuple[Path, Path]
) -> None:
    body = bytes(range(256)) * (3 * MEGABYTE // 256)

    async def scenario(server: ScriptedServer) -> None:
        pool = UpstreamPool(server.origin, PoolLimits(), tls=ssl.create_default_context(cafile=certificate[0]))
        assert await ask(pool, b"a") == b"0:a"
        assert await ask(pool, body) == b"0:" + body
        assert pool.idle == 1
        await pool.close()

    run_on(loop_factory, lambda: over_tls(certificate, scenario))


@BOTH_LOOPS
def test_https_refuses_a_certificate_nobody_vouches_for(
    loop_factory: LoopFactory, certificate: tuple[Path, Path]
) -> None:
    async def scenario(server: ScriptedServer) -> None:
        pool = UpstreamPool(server.origin, PoolLimits())
        with pytest.raises(UpstreamConnectError, match="certificate verify failed"):
            await pool.send(REQUEST, RecordingSink())
        assert pool.active == 0
        await pool.close()

    run_on(loop_factory, lambda: over_tls(certificate, scenario))
