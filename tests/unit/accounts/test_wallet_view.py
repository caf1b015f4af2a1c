"""What is held and what is free, from what Redis and Postgres say."""

import pytest

from accounts.wallet_view import Funds, funds


@pytest.mark.parametrize(
    ("in_redis", "held", "available"),
    [
        ([None, None, None, None], 0, 1200),  # unknown to Redis
        ([b"1000", b"200", b"0", b"0"], 0, 1200),
        ([b"1000", b"200", b"300", b"50"], 300, 850),
        ([b"900", b"200", b"300", b"0"], 300, 800),  # posted, and Postgres was read before
        ([b"1100", b"0", b"0", b"100"], 0, 1000),  # not posted yet, and Postgres was read after
        ([None, None, b"300", b"50"], 300, 850),  # settled while the wallet was not loaded
        ([b"1000", b"200", None, None], 0, 1200),
        ([b"0", b"0", b"5", b"0"], 5, -5),
    ],
)
def test_available_is_what_the_next_request_may_spend(in_redis: list[bytes | None], held: int, available: int) -> None:
    assert funds(1000, 200, in_redis) == Funds(held, available)
