from typing import Any

import pytest

from runtime.simulator.errors import Refused
from runtime.simulator.faults import Fault, FaultKind
from runtime.simulator.orders import FIELDS, Orders, is_plain, read_orders
from runtime.simulator.settings import SimulatorSettings

SETTINGS = SimulatorSettings(tokens=7, chunk_delay_ms=3)


def test_without_orders_the_servers_own_hold() -> None:
    assert read_orders(None, SETTINGS, streamed=True) == Orders(7, 3)
    assert read_orders({}, SETTINGS, streamed=True) == Orders(7, 3)


def test_zero_is_an_order_and_not_an_absence() -> None:
    orders = read_orders({"tokens": 0, "chunk_delay_ms": 0}, SETTINGS, streamed=True)
    assert (orders.tokens, orders.chunk_delay_ms) == (0, 0)


def test_all_fields_are_read() -> None:
    raw = {
        "tokens": 5,
        "chunk_delay_ms": 1.5,
        "first_delay_ms": 20,
        "split_bytes": 3,
        "usage": False,
        "big_header_bytes": 100,
        "fault": "cut",
        "after_chunks": 2,
    }
    assert read_orders(raw, SETTINGS, streamed=True) == Orders(
        tokens=5,
        chunk_delay_ms=1.5,
        first_delay_ms=20,
        split_bytes=3,
        usage=False,
        big_header_bytes=100,
        fault=Fault(FaultKind.CUT, after_chunks=2),
    )
    assert read_orders({"content_bytes": 9}, SETTINGS, streamed=False).content_bytes == 9


@pytest.mark.parametrize("name", sorted(FIELDS))
@pytest.mark.parametrize("value", [-1, {}, "x", 10**12])
def test_every_field_refuses_a_wrong_value(name: str, value: object) -> None:
    with pytest.raises(Refused) as caught:
        read_orders({name: value}, SETTINGS, streamed=False)
    assert (caught.value.status, caught.value.param) == (400, f"simulate.{name}")


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        ([], "simulate"),
        ("fast", "simulate"),
        ({"token": 5}, "simulate.token"),
        ({"split_bytes": 0}, "simulate.split_bytes"),
        ({"content_bytes": 1}, "simulate.content_bytes"),
    ],
)
def test_unknown_or_misplaced_orders_are_refused(raw: Any, param: str) -> None:
    with pytest.raises(Refused) as caught:
        read_orders(raw, SETTINGS, streamed=True)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (None, True),
        ([], True),
        ({}, True),
        ({"tokens": 5, "fault": "cut", "after_chunks": 1}, True),
        ({"fault": ["cut"]}, True),
        ({"kind": "generic"}, False),
        ({"fault": "cut", "after_tokens": 1}, False),
        ({"fault": "no_blank_line"}, False),
        ({"cached_tokens": 1}, False),
    ],
)
def test_what_the_fast_path_cannot_do_is_known(raw: object, plain: bool) -> None:
    assert is_plain(raw) is plain
