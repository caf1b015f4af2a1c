"""Is a server ready, which models does it have: what `farebox up` asks of the network."""

import asyncio

import aiohttp

from proxy.local.parts import OwnProcess
from proxy.process.starting import StartError

_READY_TIMEOUT_S = 30.0
_ASK_AGAIN_S = 0.05
_ANSWER_TIMEOUT_S = 5.0


async def until_ready(process: OwnProcess, url: str) -> None:
    """Until `url` answers 200; raises StartError, with what the process said last, if it ends or takes too long."""
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S), _http() as http:
            while not await _answers(http, url):
                if process.exit_code is not None:
                    raise StartError(f"{process.name} ended with exit code {process.exit_code}:\n{process.said()}")
                await asyncio.sleep(_ASK_AGAIN_S)
    except TimeoutError:
        raise StartError(f"{process.name} is not ready after {_READY_TIMEOUT_S:g} s:\n{process.said()}") from None


async def models_of(upstream_url: str, api_key: str | None) -> list[str]:
    """The models that an LLM server lists at `/models`; raises StartError if it lists none."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        async with _http() as http, http.get(f"{upstream_url}/models", headers=headers) as answer:
            answer.raise_for_status()
            listed = await answer.json(content_type=None)
            models = [model["id"] for model in listed["data"] if isinstance(model["id"], str)]
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise StartError(f"--upstream {upstream_url}: no list of models at /models ({type(error).__name__})") from error
    if not models:
        raise StartError(f"--upstream {upstream_url}: it has no models")
    return models


def _http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_TIMEOUT_S))


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
