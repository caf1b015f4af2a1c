"""The servers that Farebox is compared with, each on the server's core; what they are configured with is beside this.

The versions of those that are not ours are in the .lock files, see `benchmarks.environments`.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from benchmarks import stack
from benchmarks.figure import BARE, DIRECT, ENVOY, LITELLM, NGINX
from benchmarks.stack import Contender, Ground

FILES = Path(__file__).parent
NO_KEY = "none"
MASTER_KEY = "sk-of-a-benchmark"
# LiteLLM imports for half a minute.
LITELLM_READY_S = 180.0
LITELLM_ENVIRONMENT = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}

Started = AbstractAsyncContextManager[Contender]


@asynccontextmanager
async def direct(on: Ground, _: str) -> AsyncIterator[Contender]:
    """Nothing between: proves that the load and the upstream are faster than what is measured with them."""
    yield Contender(DIRECT, on.upstream, [NO_KEY], None)


def bare_aiohttp(on: Ground, _: str) -> Started:
    port = stack.free_port()
    return _run(on, BARE, stack.python("benchmarks.contenders.bare_aiohttp", str(port), on.upstream), port)


def nginx(on: Ground, program: str) -> Started:
    port = stack.free_port()
    config = _config(on, "nginx.conf", port, user="user root;" if os.getuid() == 0 else "")
    return _run(on, NGINX, [program, "-c", str(config), "-p", str(on.folder)], port)


def envoy(on: Ground, program: str) -> Started:
    port = stack.free_port()
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return _run(on, ENVOY, [program, "-c", str(_config(on, "envoy.yaml", port)), *options], port)


@asynccontextmanager
async def litellm(on: Ground, program: str) -> AsyncIterator[Contender]:
    port = stack.free_port()
    config = _config(on, "litellm.yaml", port, key=MASTER_KEY)
    argv = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    cores, more = on.where.server, LITELLM_ENVIRONMENT
    async with stack.child("litellm", argv, port, on.folder, cores, LITELLM_READY_S, more) as started:
        yield Contender(LITELLM, f"http://127.0.0.1:{port}", [MASTER_KEY], started.pid, slow=True)


# Each is given the program that was found for it.
OURS: Mapping[str, Callable[[Ground, str], Started]] = {"direct": direct, "bare-aiohttp": bare_aiohttp}
OTHERS: Mapping[str, Callable[[Ground, str], Started]] = {"nginx": nginx, "envoy": envoy, "litellm": litellm}


@asynccontextmanager
async def _run(on: Ground, name: str, argv: list[str], port: int) -> AsyncIterator[Contender]:
    async with stack.child(name, argv, port, on.folder, on.where.server) as started:
        yield Contender(name, f"http://127.0.0.1:{port}", [NO_KEY], started.pid)


def _config(on: Ground, name: str, port: int, **more: str) -> Path:
    text, path = Template((FILES / name).read_text()), on.folder / name
    upstream_port = urlsplit(on.upstream).port
    path.write_text(text.substitute(folder=on.folder, port=port, upstream_port=upstream_port, **more))
    return path
