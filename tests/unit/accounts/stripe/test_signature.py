"""Held to the SDK's own signer and check."""

from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from accounts.stripe.signature import TOLERANCE_S, is_signed

NOW_S = 1_790_000_000
SECRET = b"whsec_test"
PAYLOAD = '{"id": "evt_1", "é": 1}'.encode()
_SIGNATURE: Any = stripe.WebhookSignature


def header(secret: bytes = SECRET, at_s: int = NOW_S, payload: bytes = PAYLOAD) -> str:
    signed: str = _SIGNATURE.generate_signature_header(payload.decode(), secret.decode(), at_s)
    return signed


def v1(**changes: Any) -> str:
    return header(**changes).partition(",")[2]


def test_the_sdks_signature_is_good() -> None:
    assert is_signed(PAYLOAD, header(), [SECRET], NOW_S)


def test_one_good_signature_among_others_is_enough() -> None:
    several = f"t={NOW_S},{v1(secret=b'x')},v0=abc,{v1()},what=ever,=,"
    assert is_signed(PAYLOAD, several, [SECRET], NOW_S)


def test_any_of_our_secrets_will_do() -> None:
    assert is_signed(PAYLOAD, header(), [b"whsec_new", SECRET], NOW_S)
    assert not is_signed(PAYLOAD, header(), [b"whsec_new", b"whsec_newer"], NOW_S)


@pytest.mark.parametrize(("age_s", "good"), [(0, True), (TOLERANCE_S, True), (TOLERANCE_S + 1, False), (-30, True)])
def test_a_recording_is_good_for_five_minutes(age_s: int, good: bool) -> None:
    assert is_signed(PAYLOAD, header(at_s=NOW_S - age_s), [SECRET], NOW_S) is good


@pytest.mark.parametrize("secret", [b"", b" ", b"\n\t"])
def test_an_empty_secret_signs_nothing(secret: bytes) -> None:
    assert not is_signed(PAYLOAD, header(secret=secret), [secret], NOW_S)
    assert not is_signed(PAYLOAD, header(secret=secret), [], NOW_S)


@pytest.mark.parametrize(
    "forged",
    [
        None,
        "",
        ",",
        "t=,v1=",
        f"t={NOW_S}",
        v1(),
        header().replace("v1=", "v0="),
        header().replace("v1=", "V1="),
        header()[:-1],
        header().upper(),
        header() + "é",
        header().replace(str(NOW_S), f"{NOW_S}.0"),
        header().replace(str(NOW_S), f"t={NOW_S}"),
        header().replace(str(NOW_S), str(NOW_S + 1)),
        f"t={NOW_S + 1},{header()}",
        f"t={'9' * 5000},{v1()}",
        f"t={NOW_S}," + "x=1," * 100 + v1(),
    ],
)
def test_what_is_not_signed_so_is_refused(forged: str | None) -> None:
    assert not is_signed(PAYLOAD, forged, [SECRET], NOW_S)


@given(st.text() | st.text(alphabet="tv10=,9af"))
def test_no_header_is_good_by_chance_or_raises(text: str) -> None:
    assert not is_signed(PAYLOAD, text, [SECRET], NOW_S)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_signature_is_for_one_body(signed: bytes, sent: bytes) -> None:
    good = header(payload=b"x" + signed.hex().encode())
    assert is_signed(b"x" + sent.hex().encode(), good, [SECRET], NOW_S) is (signed == sent)


items = st.tuples(st.sampled_from(["v1", "v0", " v1", "T", "t", ""]), st.text(alphabet="019af= ", max_size=10))


@given(st.lists(items, min_size=1, max_size=5), st.booleans())
def test_what_is_good_here_is_good_for_the_sdk(junk: list[tuple[str, str]], before: bool) -> None:
    more = ",".join(f"{name}={value}" for name, value in junk)
    text = f"{more},{header()}" if before else f"{header()},{more}"
    if is_signed(PAYLOAD, text, [SECRET], NOW_S):
        assert _SIGNATURE.verify_header(PAYLOAD, text, SECRET.decode())
