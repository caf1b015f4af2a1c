"""Loads that are about keys: of more of them than can be dealt to connections; kinds of benchmarks/load.py."""

import asyncio
import os
import random
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Sequence
from itertools import count
from time import perf_counter

from accounts.key_format import KEY_CHARS
from benchmarks.asked import body, request
from benchmarks.client import Client
from benchmarks.population import active_keys

BODY = body(max_tokens=20)


async def flood(url: str, clients: Sequence[Client], start: str, rate: float, seconds: float) -> dict[str, float]:
    """Wrong keys that begin with `start`, no two alike. What was due and not sent in time is sent later. `per_s`, and
    `answered_401` and the like: how many were answered so."""
    answers = Counter[int]()
    begin, numbers = perf_counter(), count()

    async def one(client: Client) -> None:
        client.refusals_too = True
        while (number := next(numbers)) < rate * seconds:
            await asyncio.sleep(max(0.0, begin + number / rate - perf_counter()))
            await client.ask(request(url, wrong_key(start), BODY))
            answers[client.status] += 1

    await asyncio.gather(*map(one, clients))
    counted = {f"answered_{status}": float(number) for status, number in answers.items()}
    return {"per_s": sum(answers.values()) / (perf_counter() - begin)} | counted


def wrong_key(start: str) -> str:
    """As long as a right one."""
    return (start + urlsafe_b64encode(os.urandom(30)).decode())[:KEY_CHARS]


async def many(url: str, clients: Sequence[Client], wallets: int, requests: int) -> dict[str, float]:
    """Requests of so many wallets in turn, as fast as they are answered."""
    keys, turns = mixed_keys(wallets), iter(range(requests))

    async def one(client: Client) -> None:
        for turn in turns:
            await client.ask(request(url, keys[turn % wallets], BODY))

    begin = perf_counter()
    await asyncio.gather(*map(one, clients))
    return {"requests": requests, "per_s": requests / (perf_counter() - begin)}


def mixed_keys(wallets: int) -> list[str]:
    """One of each wallet of the population, in the same mixed order each time."""
    keys = active_keys(wallets)
    random.Random(1).shuffle(keys)  # noqa: S311 -- nothing secret
    return keys
