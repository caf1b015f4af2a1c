"""When the keys are fetched, and what happens to them when that fails; no clock runs and no server answers."""

import asyncio

from structlog.testing import capture_logs

from accounts.jwk_set import JwksError, PublicKey
from accounts.jwks import REFRESH_S, RETRY_S, Jwks
from runtime.tasks import TaskSet
from tests.support.tokens import ec_key, jwk, key_set, rsa_key

RSA, EC = rsa_key("one"), ec_key("one")
OLD = key_set(jwk(RSA, "old"))
OLD_AND_NEW = key_set(jwk(RSA, "old"), jwk(EC, "new"))
NEW = key_set(jwk(EC, "new"))
AWAY = JwksError("unreachable")


class Provider:
    """Answers each fetch with what it publishes then; `hold` keeps it from answering."""

    def __init__(self, published: bytes | Exception) -> None:
        self.published = published
        self.fetches = 0
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self) -> bytes:
        self.fetches += 1
        await self.open.wait()
        if isinstance(self.published, Exception):
            raise self.published
        return self.published


class Sleeper:
    """Sleeps until it is told to go on; keeps for how long it was asked to."""

    def __init__(self) -> None:
        self.asked_s: list[float] = []
        self._asleep = asyncio.Event()
        self._go_on = asyncio.Semaphore(0)

    async def __call__(self, seconds: float) -> None:
        self.asked_s.append(seconds)
        self._asleep.set()
        await self._go_on.acquire()

    async def end(self) -> None:
        """The sleep ends; returns when the next one begins."""
        self._asleep.clear()
        self._go_on.release()
        await self._asleep.wait()


class Clock:
    now_ms = 5_000

    def __call__(self) -> int:
        return self.now_ms


class Scene:
    def __init__(self, published: bytes | Exception) -> None:
        self.provider = Provider(published)
        self.clock = Clock()
        self.sleeper = Sleeper()
        self._tasks = TaskSet()
        self.jwks = Jwks(self.provider.fetch, clock_ms=self.clock, sleep=self.sleeper)

    async def __aenter__(self) -> "Scene":
        await self.jwks.start()
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.jwks.close()

    def ask(self) -> asyncio.Task[PublicKey | None]:
        """Ask for the new key, and do not wait for the answer."""
        return self._tasks.spawn(self.jwks.find("new", "ES256"), name="asking")

    async def knows(self, *kids: str) -> list[bool]:
        return [await self.jwks.find(kid, "RS256" if kid == "old" else "ES256") is not None for kid in kids]


async def test_keys_are_there_after_the_start_and_asking_for_them_fetches_nothing() -> None:
    async with Scene(OLD_AND_NEW) as scene:
        assert await scene.jwks.find("old", "RS256") == RSA.public_key()
        assert await scene.jwks.find("new", "ES256") == EC.public_key()
        assert await scene.jwks.find(None, "ES256") == EC.public_key()
        assert await scene.jwks.find("old", "ES256") is None
        assert scene.provider.fetches == 1


async def test_they_are_fetched_again_every_ten_minutes() -> None:
    async with Scene(OLD) as scene:
        for fetches in (2, 3):
            assert scene.sleeper.asked_s[-1] == REFRESH_S
            await scene.sleeper.end()
            assert scene.provider.fetches == fetches


async def test_a_key_is_rotated_in_and_out() -> None:
    async with Scene(OLD) as scene:
        scene.provider.published = OLD_AND_NEW
        await scene.sleeper.end()
        assert await scene.knows("old", "new") == [True, True]
        scene.provider.published = NEW
        await scene.sleeper.end()
        assert await scene.knows("old", "new") == [False, True]


async def test_an_unknown_key_is_asked_for_at_once_and_then_at_most_every_thirty_seconds() -> None:
    async with Scene(OLD) as scene:
        scene.provider.published = OLD_AND_NEW
        assert await scene.knows("new", "gone", "gone") == [True, False, False]
        assert scene.provider.fetches == 2
        scene.clock.now_ms += int(RETRY_S * 1000) - 1
        assert await scene.knows("gone") == [False]
        assert scene.provider.fetches == 2
        scene.clock.now_ms += 1
        assert await scene.knows("gone", "gone") == [False, False]
        assert scene.provider.fetches == 3


async def test_many_who_ask_for_an_unknown_key_share_one_fetch() -> None:
    async with Scene(OLD) as scene:
        scene.provider.published = OLD_AND_NEW
        scene.provider.open.clear()
        asking = [scene.ask() for _ in range(50)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        scene.provider.open.set()
        assert await asyncio.gather(*asking) == [EC.public_key()] * 50
        assert scene.provider.fetches == 2


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    async with Scene(OLD) as scene:
        scene.provider.published = OLD_AND_NEW
        scene.provider.open.clear()
        first, second = [scene.ask() for _ in range(2)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        scene.provider.open.set()
        assert await second == EC.public_key()
        assert first.cancelled() and scene.provider.fetches == 2


async def test_known_keys_do_not_wait_for_a_fetch() -> None:
    async with Scene(OLD) as scene:
        scene.provider.open.clear()
        asking = scene.ask()
        await asyncio.sleep(0)
        assert await scene.jwks.find("old", "RS256") == RSA.public_key()
        assert not asking.done()
        scene.provider.open.set()
        assert await asking is None


async def test_keys_stay_while_the_provider_is_away_and_it_is_asked_more_often() -> None:
    async with Scene(OLD) as scene:
        for failure in (AWAY, b"<html>", RuntimeError("not expected")):
            scene.provider.published = failure
            await scene.sleeper.end()
            assert await scene.knows("old") == [True]
            assert scene.sleeper.asked_s[-1] == RETRY_S
        scene.provider.published = NEW
        await scene.sleeper.end()
        assert await scene.knows("old", "new") == [False, True]
        assert scene.sleeper.asked_s[-1] == REFRESH_S


async def test_a_provider_away_at_the_start_is_a_warning() -> None:
    with capture_logs() as lines:
        async with Scene(AWAY) as scene:
            assert scene.sleeper.asked_s[-1] == RETRY_S
            scene.provider.published = OLD
            assert await scene.knows("old") == [True]
    assert [(line["event"], line["log_level"], line.get("reason")) for line in lines] == [
        ("jwks_not_loaded", "warning", "unreachable"),
        ("jwks_changed", "info", None),
    ]


async def test_a_provider_that_withdraws_all_keys_is_believed() -> None:
    async with Scene(OLD) as scene:
        scene.provider.published = key_set()
        with capture_logs() as lines:
            await scene.sleeper.end()
        assert await scene.knows("old") == [False]
        assert [line["event"] for line in lines] == ["jwks_without_usable_keys"]


async def test_after_the_end_nobody_waits() -> None:
    scene = Scene(OLD)
    await scene.jwks.start()
    scene.provider.open.clear()
    asking = scene.ask()
    await asyncio.sleep(0)
    await scene.jwks.close()
    assert await asking is None
