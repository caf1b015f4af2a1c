"""What is made of a flood."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.affinity import plan
from benchmarks.figures import wrong_keys
from benchmarks.figures.wrong_keys import BCRYPT, CPU, REFUSED, TAKEN, flooded
from benchmarks.stack import Contender, Ground
from benchmarks.stage import QUICK, Stage


class Server(Contender):
    """Its CPU is what the test says, at the one look and at the next."""

    looks: Iterator[float]

    def cpu_s(self) -> float:
        return next(self.looks)


class Flooding(Stage):
    """The flood has been."""

    told: dict[str, float]

    async def load_beside(self, at: Contender, **asked: Any) -> dict[str, float]:
        assert (asked["kind"], asked["start"]) == ("flood", "pp_live-")
        return self.told


async def good(*_: object) -> dict[str, float]:
    return {"p99_ms": 7.0}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Flooding:
    """Of 2 seconds, in which bcrypt takes half a second of a core."""
    monkeypatch.setattr(wrong_keys, "paced", good)
    monkeypatch.setattr(wrong_keys, "MARGIN_S", 0.0)
    looks = iter((1.0, 1.5))
    monkeypatch.setattr(wrong_keys, "bcrypt_cpu_s", lambda _: next(looks))
    ground = Ground(Path(), plan([0]), "postgres://", "redis://", "http://127.0.0.1:1")
    return Flooding(ground, replace(QUICK, seconds=2), wrk=None, descriptors=20_000)


def server(*looks: float) -> Server:
    made = Server("Farebox", "http://127.0.0.1:1", ["a key"], 1)
    object.__setattr__(made, "looks", iter(looks))
    return made


async def test_what_good_requests_and_bcrypt_take_is_not_the_wrong_keys(stage: Flooding) -> None:
    stage.told = {"per_s": 5_000.0, "answered_401": 9_000.0, "answered_429": 1_000.0}
    found = await flooded(stage, server(10.0, 11.9), "pp_live-", good_s=0.4)
    assert found == {TAKEN: 7.0, BCRYPT: 25.0, CPU: pytest.approx(100.0), REFUSED: 5_000.0}


@pytest.mark.parametrize("status", [200, 500, 502])
async def test_a_wrong_key_that_is_not_refused_ends_the_run(stage: Flooding, status: int) -> None:
    stage.told = {"per_s": 5_000.0, "answered_401": 9_999.0, f"answered_{status}": 1.0}
    with pytest.raises(RuntimeError, match="a wrong key was not refused"):
        await flooded(stage, server(10.0, 11.9), "pp_live-", good_s=0.4)
