"""One round: what is claimed is sent, and how it ended is noted; one that fails does not stop the others."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from accounts.notices.deliveries import Claim, Deliveries
from accounts.notices.retry import RetryPolicy
from accounts.notices.signing import Event
from accounts.notices.worker import Undelivered, Worker

POLICY = RetryPolicy(max_attempts=3, max_age_s=100)


def claim(number: int, attempt: int = 1, age_s: float = 0) -> Claim:
    event = Event(UUID(int=number), "key.revoked", UUID(int=1), {}, datetime(2026, 11, 22, tzinfo=UTC))
    return Claim(number, attempt, age_s, event)


class Notes:
    """Deliveries that only note what is done with them."""

    def __init__(self, *claims: Claim, away: bool = False) -> None:
        self.claims = claims
        self.done: list[tuple[Any, ...]] = []
        self.away = away

    async def claim(self, channel: str, limit: int) -> Sequence[Claim]:
        assert channel == "email"
        return self.claims[:limit]

    async def delivered(self, claim: Claim) -> None:
        if self.away:
            raise ConnectionError
        self.done.append(("delivered", claim.delivery_id))

    async def again(self, claim: Claim, wait_s: float, reason: str) -> None:
        self.done.append(("again", claim.delivery_id, wait_s, reason))

    async def bury(self, claim: Claim, reason: str) -> None:
        self.done.append(("bury", claim.delivery_id, reason))


def worker(notes: Notes, failures: dict[int, Undelivered], concurrent: int = 4) -> Worker:
    async def send(event: Event) -> None:
        if (failure := failures.get(event.id.int)) is not None:
            raise failure

    return Worker(cast(Deliveries, notes), POLICY, "email", send, concurrent=concurrent, dice=lambda: 0.5)


async def test_each_end_is_noted() -> None:
    notes = Notes(claim(1), claim(2, attempt=2), claim(3), claim(4, attempt=3), claim(5, age_s=100), claim(6))
    failures = {
        2: Undelivered("status_500"),
        3: Undelivered("status_410", is_final=True),
        4: Undelivered("timeout"),
        5: Undelivered("timeout"),
        6: Undelivered("status_429", asked_s=60),
    }
    assert await worker(notes, failures, concurrent=10).round() is None
    assert sorted(notes.done, key=lambda done: int(done[1])) == [
        ("delivered", 1),
        ("again", 2, 10.0, "status_500"),
        ("bury", 3, "status_410"),
        ("bury", 4, "timeout"),
        ("bury", 5, "timeout"),
        ("again", 6, 60.0, "status_429"),
    ]


async def test_a_full_round_is_followed_by_another_at_once() -> None:
    notes = Notes(claim(1), claim(2), claim(3))
    assert await worker(notes, {}, concurrent=3).round() == 0.0
    assert await worker(notes, {}, concurrent=4).round() is None


async def test_where_postgres_goes_away_the_others_still_come_to_an_end() -> None:
    notes = Notes(claim(1), claim(2), away=True)
    with pytest.raises(ConnectionError):
        await worker(notes, {2: Undelivered("status_500")}).round()
    assert notes.done == [("again", 2, 5.0, "status_500")]
