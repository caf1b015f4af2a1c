"""Who reads Postgres or Redis learns who used how much, and neither a key nor a token nor a word of what was said."""

import secrets
from typing import Any

import aiohttp
from redis.asyncio import Redis

from accounts.key_format import lookup_prefix
from tests.support.calling import Caller, chat
from tests.support.office import Office
from tests.support.people import Person
from tests.support.program import UPSTREAM_KEY, Program

_READ: dict[bytes, tuple[Any, ...]] = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"list": ("LRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    b"stream": ("XRANGE", "-", "+"),
}


async def all_of_postgres(office: Office) -> str:
    tables = await office.pool.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c"
        " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace"
    )
    rows = [await office.pool.fetch(f"SELECT t::text AS row FROM {table['name']} t") for table in tables]
    return "\n".join(row["row"] for found in rows for row in found)


async def all_of_redis(redis: Redis) -> str:
    found = []
    async for name in redis.scan_iter("*"):
        command, *how = _READ[await _kind(redis, name)]
        kept: Any = await redis.execute_command(command, name, *how)  # type: ignore[no-untyped-call]  # redis-py's gap
        found.append(f"{name!r} {kept!r}")
    return "\n".join(found)


async def _kind(redis: Redis, name: Any) -> bytes:
    kind = await redis.type(name)
    return kind if isinstance(kind, bytes) else str(kind).encode()


async def test_neither_holds_keys_tokens_or_what_was_said(
    call: Caller, office: Office, program: Program, http: aiohttp.ClientSession
) -> None:
    customer = await office.customer()
    said, told = f"said-{secrets.token_hex(8)}", f"told-{secrets.token_hex(8)}"
    body = chat() | {"messages": [{"role": "user", "content": said}], "user": said, "metadata": {"note": said}}
    headers = {"cookie": told, "x-told": told, "user-agent": told}
    owner = Person(http, program.base_url, customer.user_id)
    assert (await owner("GET", "/api/ai-api/wallet"))[0] == 200
    answer = await call.ask(customer, body, headers=headers)
    assert (await call.ask(customer, body | {"model": said}, headers=headers)).status == 404
    assert (await call.ask(customer, body | {"max_tokens": said}, headers=headers)).status == 400
    async with call.stream(customer, body | {"simulate": {"tokens": 2_000, "chunk_delay_ms": 5}}, **headers) as stream:
        await stream.content.readline()
        while_it_runs = await all_of_redis(office.redis)
        stream.close()
    await office.usage(answer.request_id)
    await office.settled()
    kept = "\n".join([while_it_runs, await all_of_redis(office.redis), await all_of_postgres(office)])

    assert all(
        known in kept for known in (answer.request_id, str(customer.wallet_id), lookup_prefix(customer.key), "$2b$")
    )
    token = owner.auth["authorization"].removeprefix("Bearer ")
    hidden = [said, told, customer.key, customer.key.removeprefix(lookup_prefix(customer.key)), token, UPSTREAM_KEY]
    hidden += [word for word in answer.json["choices"][0]["message"]["content"].split(" ") if len(word) > 5]
    assert [secret for secret in hidden if secret in kept] == []
