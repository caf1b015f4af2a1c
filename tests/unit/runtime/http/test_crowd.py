from ipaddress import ip_network

import pytest

from runtime.http.crowd import Crowd
from runtime.http.limits import HttpLimits

LIMITS = HttpLimits(max_connections=5, max_connections_per_address=2, exempt=(ip_network("10.0.0.0/8"),))


def over(crowd: Crowd, *addresses: str | None, limits: HttpLimits = LIMITS) -> list[bool]:
    """One after another they come, and stay."""
    found = []
    for address in addresses:
        crowd.enter(address)
        found.append(crowd.is_over(address, limits))
    return found


def test_so_many_of_one_address() -> None:
    assert over(Crowd(), "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1") == [False, False, False, True]


def test_so_many_of_all() -> None:
    assert over(Crowd(), *(f"192.0.2.{number}" for number in range(6))) == [False] * 5 + [True]


def test_without_a_limit_by_address_one_may_have_all() -> None:
    assert over(Crowd(), *["192.0.2.1"] * 6, limits=HttpLimits(max_connections=5)) == [False] * 5 + [True]


def test_who_comes_for_many_is_not_counted_as_one() -> None:
    assert over(Crowd(), *["10.1.1.1"] * 6) == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("addresses", "is_one"),
    [
        (("2001:db8::1", "2001:db8::ffff:1", "2001:db8::2"), True),
        (("2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1"), False),
        (("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"), True),
        (("fe80::1%eth0", "fe80::1%eth0", "fe80::1%eth0"), True),
    ],
)
def test_who_counts_as_one(addresses: tuple[str, ...], is_one: bool) -> None:
    assert over(Crowd(), *addresses)[-1] is is_one


def test_a_local_socket_has_no_address() -> None:
    assert over(Crowd(), None, None, None) == [False] * 3


def test_who_has_gone_makes_room_and_is_forgotten() -> None:
    crowd = Crowd()
    over(crowd, "192.0.2.1", "192.0.2.1", "192.0.2.2", None)
    for address in ("192.0.2.1", "192.0.2.1", None):
        crowd.leave(address)
    assert (crowd.total, len(crowd)) == (1, 1)
    assert over(crowd, "192.0.2.1") == [False]
