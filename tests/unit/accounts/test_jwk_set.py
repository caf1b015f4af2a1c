"""Which of the published keys may sign, and with what."""

from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm

from accounts.jwk_set import MAX_KEYS, JwksError, JwkSet, parse_jwk_set
from tests.support.tokens import ec_key, jwk, key_set, rsa_key

RSA, EC = rsa_key("one"), ec_key("one")


def names(*entries: Any) -> list[str | None]:
    return [key.kid for key in parse_jwk_set(key_set(*entries)).keys]


def test_a_key_serves_one_algorithm_whether_it_says_so_or_not() -> None:
    keys = parse_jwk_set(
        key_set(jwk(RSA, "r"), jwk(RSA, "said", alg="RS256"), jwk(EC, "e"), jwk(EC, "curve", alg="ES256"))
    )
    assert [(key.kid, key.algorithm) for key in keys.keys] == [
        ("r", "RS256"),
        ("said", "RS256"),
        ("e", "ES256"),
        ("curve", "ES256"),
    ]
    assert keys.find("r", "RS256") == RSA.public_key()
    assert keys.find("e", "ES256") == EC.public_key()
    assert keys.find("r", "ES256") is keys.find("e", "RS256") is keys.find("e", "HS256") is None


def test_what_supabase_keycloak_auth0_and_clerk_publish() -> None:
    supabase = jwk(EC, "supabase", alg="ES256", ext=True, key_ops=["verify"])
    keycloak = jwk(RSA, "keycloak", alg="RS256", x5c=["MIIC..."], x5t="abc")
    keycloak_encryption = jwk(RSA, "encryption") | {"use": "enc", "alg": "RSA-OAEP"}
    clerk = jwk(RSA, "ins_2abc", alg="RS256")
    without_use = {name: value for name, value in jwk(RSA, "bare").items() if name not in ("use", "key_ops")}
    assert names(supabase, keycloak, keycloak_encryption, clerk, without_use) == [
        "supabase",
        "keycloak",
        "ins_2abc",
        "bare",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        HMACAlgorithm.to_jwk(b"s" * 32, as_dict=True) | {"kid": "x", "alg": "HS256"},
        jwk(RSA, "x", alg="HS256"),
        jwk(RSA, "x", alg="none"),
        jwk(RSA, "x", alg="RS512"),
        jwk(RSA, "x", alg="PS256"),
        jwk(RSA, "x", alg="ES256"),
        jwk(EC, "x", alg="RS256"),
        jwk(EC, "x", alg=None),
        jwk(RSA, "x", use="enc"),
        jwk(RSA, "x", key_ops=["encrypt"]),
        jwk(RSA, "x", key_ops="verify"),
        jwk(RSA, "x", kty="oct"),
        jwk(RSA, "x", kty=["RSA"]),
        jwk(RSA, "x", crv="P-256"),
        jwk(RSA, "x", n=7),
        jwk(RSA, "x", n=""),
        jwk(RSA, "x", e="AQ"),
        jwk(RSA, "x", e="AA"),
        jwk(EC, "x", crv="P-384"),
        jwk(EC, "x", x="AAAA"),
        jwk(EC, "x", y=jwk(EC, "x")["x"]),
        jwk(EC, "x", y=[1]),
        ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True) | {"kid": "x"},
        jwk(rsa_key("short", 1024), "x"),
        RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"kid": "x", "key_ops": ["verify"]},
        ECAlgorithm.to_jwk(EC, as_dict=True) | {"kid": "x"},
        jwk(RSA, None) | {"kid": 7},
        {},
        None,
        "key",
        7,
        [jwk(RSA, "x")],
    ],
)
def test_a_key_that_may_not_sign_is_passed_over(entry: object) -> None:
    assert names(entry, jwk(EC, "good")) == ["good"]


def test_a_token_without_a_key_name_gets_the_only_key_that_fits() -> None:
    one_of_each = parse_jwk_set(key_set(jwk(RSA, "r"), jwk(EC, None)))
    assert one_of_each.find(None, "RS256") == RSA.public_key()
    assert one_of_each.find(None, "ES256") == EC.public_key()
    two = parse_jwk_set(key_set(jwk(RSA, "r"), jwk(rsa_key("two"), "s")))
    assert two.find(None, "RS256") is None
    assert two.find(None, "ES256") is None


def test_a_newer_set_is_asked_for_only_where_it_could_help() -> None:
    keys = parse_jwk_set(key_set(jwk(RSA, "r")))
    assert not keys.may_be_old("r", "RS256")
    assert not keys.may_be_old("r", "ES256")
    assert not keys.may_be_old(None, "RS256")
    assert keys.may_be_old("new", "RS256")
    assert keys.may_be_old(None, "ES256")
    assert JwkSet().may_be_old("r", "RS256")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"<html>", "not_json"),
        (b'{"keys": [}', "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 2_000, "not_json"),
        (b"null", "not_a_key_set"),
        (b"[]", "not_a_key_set"),
        (b"{}", "not_a_key_set"),
        (b'{"keys": {}}', "not_a_key_set"),
        (orjson.dumps({"keys": [{}] * (MAX_KEYS + 1)}), "too_many_keys"),
    ],
)
def test_what_is_no_key_set(body: bytes, reason: str) -> None:
    with pytest.raises(JwksError) as failed:
        parse_jwk_set(body)
    assert failed.value.reason == reason


def test_an_issuer_without_keys_has_none() -> None:
    assert parse_jwk_set(b'{"keys": []}') == JwkSet()


def test_as_many_keys_as_are_allowed() -> None:
    assert len(names(*[jwk(EC, str(number)) for number in range(MAX_KEYS)])) == MAX_KEYS


ODD: st.SearchStrategy[Any] = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=60)
    | st.lists(st.text(max_size=5), max_size=2)
    | st.just({})
)


@given(
    st.sampled_from([jwk(RSA, "x", alg="RS256"), jwk(EC, "x", alg="ES256")]),
    st.dictionaries(st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops", "d"]), ODD),
)
def test_a_mangled_key_is_passed_over_or_the_kind_it_claims(entry: dict[str, Any], odd: dict[str, Any]) -> None:
    for key in parse_jwk_set(key_set(entry | odd)).keys:
        assert isinstance(key.key, rsa.RSAPublicKey if key.algorithm == "RS256" else ec.EllipticCurvePublicKey)
