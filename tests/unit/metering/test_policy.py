"""What a key may be used for, and from where."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.policy import ANYTHING, NOTHING, Policy, Refused, Use, parse_or_nothing

USE = Use("llama-3-8b", "/v1/chat/completions", "192.0.2.7")


def policy(**lists: list[str]) -> Policy:
    return Policy.parse(orjson.dumps(lists))


@given(st.text(), st.text(), st.none() | st.text())
def test_without_a_policy_everything_is_allowed_and_an_empty_list_allows_nothing(
    model: str, route: str, ip: str | None
) -> None:
    use = Use(model, route, ip)
    assert Policy.parse("").refusal(use) is Policy.parse("{}").refusal(use) is None
    assert policy(models=[]).refusal(use) is Refused.MODEL
    assert policy(routes=[]).refusal(use) is Refused.ROUTE
    assert policy(ips=[]).refusal(use) is Refused.IP


@pytest.mark.parametrize(
    ("models", "is_allowed"),
    [
        (["llama-3-8b"], True),
        (["llama-3*"], True),
        (["*"], True),
        (["gpt-4", "llama-*"], True),
        (["llama-3-8b*"], True),
        (["llama"], False),
        (["LLAMA-3-8B"], False),
        (["*8b"], False),
        (["llama-3-8b-instruct"], False),
        (["lla*ma"], False),
    ],
)
def test_models_are_names_or_beginnings_of_names(models: list[str], is_allowed: bool) -> None:
    assert (policy(models=models).refusal(USE) is None) is is_allowed
    assert policy(models=models).allows_model(USE.model) is is_allowed


@pytest.mark.parametrize(
    ("ips", "ip", "is_allowed"),
    [
        (["192.0.2.0/24"], "192.0.2.7", True),
        (["192.0.2.7/32"], "192.0.2.7", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.7", True),
        (["::ffff:192.0.2.0/120"], "192.0.2.7", True),
        (["2001:db8::/32", "10.0.0.0/8"], "2001:db8::1", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["::/0"], "192.0.2.7", False),
        (["192.0.2.0/24"], "192.0.3.7", False),
        (["192.0.2.0/24"], "not an address", False),
        (["192.0.2.0/24"], "1" * 100_000, False),
        (["0.0.0.0/0", "::/0"], None, False),
    ],
)
def test_addresses_are_compared_as_they_are_meant(ips: list[str], ip: str | None, is_allowed: bool) -> None:
    assert policy(ips=ips).allows_ip(ip) is is_allowed


def test_the_address_is_asked_about_first_and_the_model_last() -> None:
    nothing = policy(models=[], routes=[], ips=[])
    assert nothing.refusal(USE) is Refused.IP
    assert policy(models=[], routes=[], ips=["192.0.2.0/24"]).refusal(USE) is Refused.ROUTE
    allowed = policy(models=[], routes=["/v1/chat/completions"], ips=["192.0.2.0/24"])
    assert allowed.refusal(USE) is Refused.MODEL
    assert allowed.refusal(Use("", "/v1/embeddings", USE.ip)) is Refused.ROUTE


@pytest.mark.parametrize(
    "text", ["{", "[]", "7", '{"countries":["FR"]}', '{"ips":["x"]}', '{"models":[7]}', '{"ips":7}']
)
def test_what_is_not_understood_lets_nothing_through(text: str) -> None:
    assert parse_or_nothing(text) is NOTHING
    assert NOTHING.refusal(USE) is not None and not NOTHING.allows_model(USE.model)


def test_what_is_understood_is_what_it_says() -> None:
    assert parse_or_nothing(b"") is ANYTHING
    assert parse_or_nothing(b'{"models":["a"]}') == policy(models=["a"])
