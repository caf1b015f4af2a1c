"""Where this process listens, and whom it believes there."""

import pytest
from pydantic import ValidationError

from runtime.settings import Listen


@pytest.mark.parametrize(
    ("given", "networks"),
    [
        ([], []),
        (["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"], ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]),
        (["::ffff:10.0.0.0/104"], ["10.0.0.0/8"]),
        ("10.0.0.0/8, 192.0.2.7", ["10.0.0.0/8", "192.0.2.7/32"]),
        ("", []),
    ],
)
def test_trusted_proxies_are_networks_or_addresses(given: object, networks: list[str]) -> None:
    assert list(map(str, Listen.model_validate({"trusted_proxies": given}).trusted_proxies)) == networks


@pytest.mark.parametrize("given", [["10.0.0.1/8"], ["localhost"], [None], 7, {"a": 1}, ["10.0.0.0/8"] * 201])
def test_what_is_no_network_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        Listen.model_validate({"trusted_proxies": given})
