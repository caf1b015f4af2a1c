import asyncio

import orjson

from runtime.simulator.kinds import Kind
from runtime.simulator.settings import SimulatorSettings
from runtime.simulator.shared import MAX_KNOWN, MAX_KNOWN_BYTES, Shared


async def shared() -> Shared:
    return Shared(SimulatorSettings(), asyncio.get_running_loop())


def body(text: str = "hello", **fields: object) -> bytes:
    return orjson.dumps({"model": "tiny", "messages": [{"role": "user", "content": text}]} | fields)


async def test_ids_are_long_enough_and_never_the_same() -> None:
    one = await shared()
    ids = {one.new_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert {len(answer_id) for answer_id in ids} == {32}


async def test_the_same_body_is_understood_once() -> None:
    one = await shared()
    assert one.understand(body()) is one.understand(body())


async def test_what_takes_a_dialect_is_not_for_the_fast_path() -> None:
    assert (await shared()).understand(body(simulate={"kind": "vllm"})) is None
    assert Shared(SimulatorSettings(kind=Kind.VLLM), asyncio.get_running_loop()).understand(body()) is None


async def test_what_is_large_is_not_kept() -> None:
    one = await shared()
    for large in (body("x" * MAX_KNOWN_BYTES), body(simulate={"content_bytes": 1 << 20})):
        assert one.understand(large) is not one.understand(large)


async def test_what_is_kept_is_bounded() -> None:
    one = await shared()
    first = one.understand(body())
    for number in range(MAX_KNOWN):
        one.understand(body(f"hello {number}"))
    assert one.understand(body()) is not first


async def test_equal_header_names_are_one_object() -> None:
    one = await shared()
    assert one.same_names({b"Host": b"a"}) is one.same_names({b"Host": b"b"})
    assert one.same_names({b"Host": b"a"}) != one.same_names({b"host": b"a"})
