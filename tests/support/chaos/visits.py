"""Seed -> who asks for what through which proxy, and who leaves in the middle. Pure."""

import random
from dataclasses import dataclass
from typing import Any

from tests.support.chaos.schedule import LOAD_MS

# Models, each named after who counts: the server along the way, the server at the end, nobody.
ALONG, AT_END, NEVER = "counts-along", "counts-at-end", "counts-never"
MODELS = (ALONG, AT_END, NEVER)
PROMPT = "one two three"
# Its words, and what the simulator adds for the message.
PROMPT_TOKENS = 3 + 4
# The simulator's words are at most four letters long up to the hundredth: where nobody reports, our count by length
# is then not more than theirs.
MOST_TOKENS = 100
MAX_TOKENS_ASKED = 200
CLIENTS = 14


@dataclass(frozen=True, slots=True)
class Visit:
    """One request. `leaves_after`: the tokens a client waits for before it hangs up; None: it stays to the end."""

    name: str
    customer: int
    proxy: int
    model: str
    is_stream: bool
    tokens: int
    delay_ms: int
    leaves_after: int | None

    @property
    def tokens_per_s(self) -> float:
        """How fast the server emits."""
        return 1_000 / self.delay_ms

    def body(self) -> dict[str, Any]:
        orders: dict[str, Any] = {"tokens": self.tokens, "chunk_delay_ms": self.delay_ms}
        if self.model == NEVER:
            orders["usage"] = False
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": MAX_TOKENS_ASKED,
            "stream": self.is_stream,
            "simulate": orders,
        }


@dataclass(frozen=True, slots=True)
class Client:
    """Makes its visits one after the other."""

    number: int
    starts_after_ms: int
    visits: tuple[Visit, ...]


def make_clients(seed: int, customers: int, proxies: int, clients: int = CLIENTS) -> tuple[Client, ...]:
    """Enough visits for each client to be busy as long as the load runs."""
    chance = random.Random(f"visits {seed}")
    return tuple(_client(chance, seed, number, customers, proxies) for number in range(clients))


def _client(chance: random.Random, seed: int, number: int, customers: int, proxies: int) -> Client:
    starts_after_ms = chance.randrange(0, 400)
    busy_ms, visits = starts_after_ms, list[Visit]()
    while busy_ms < LOAD_MS:
        visit = _visit(chance, f"{seed}-{number}-{len(visits)}", customers, proxies)
        visits.append(visit)
        # a refused one is over at once: the least that a visit is reckoned with keeps their number small
        busy_ms += max(150, (visit.leaves_after or visit.tokens) * visit.delay_ms)
    return Client(number, starts_after_ms, tuple(visits))


def _visit(chance: random.Random, name: str, customers: int, proxies: int) -> Visit:
    is_stream = chance.random() < 0.75
    tokens = chance.randint(20, MOST_TOKENS) if is_stream else chance.randint(1, 30)
    leaves = is_stream and chance.random() < 0.25
    return Visit(
        name=name,
        customer=chance.randrange(customers),
        proxy=chance.randrange(proxies),
        model=chance.choice((ALONG, ALONG, AT_END, NEVER)),
        is_stream=is_stream,
        tokens=tokens,
        delay_ms=chance.choice((5, 10, 20, 30)),
        leaves_after=chance.randrange(1, tokens) if leaves else None,
    )
