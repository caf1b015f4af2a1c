"""Which tokens are believed, and whose they are; in what is refused, all reasons look the same."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from accounts.claims import derived_user_id
from accounts.errors import NotAuthenticated
from accounts.identity import MAX_TOKEN_BYTES, OWN_ISSUER, Caller, TokenVerifier, mint_token, open_verifier
from accounts.jwk_set import JwkSet, PublicKey, parse_jwk_set
from accounts.key_format import KeyFormat
from runtime.settings import Identity
from tests.support.provider_claims import AUTH0, CLERK, KEYCLOAK, KEYCLOAK_FEDERATED, SUPABASE
from tests.support.tokens import (
    NOW_S,
    SECRET,
    USER,
    by_hand,
    by_key,
    by_secret,
    claims,
    ec_key,
    jwk,
    key_set,
    pem,
    rsa_key,
)

RSA, EC = rsa_key("one"), ec_key("one")
PUBLISHED = parse_jwk_set(key_set(jwk(RSA, "r"), jwk(EC, "e")))
BY_SECRET: dict[str, Any] = {"jwt_secret": SECRET}
SOMEBODY = Caller(UUID(USER), is_admin=False)
ADMIN = UUID(int=9)


class Published:
    """A provider's keys that never change."""

    def __init__(self, keys: JwkSet) -> None:
        self._keys = keys

    async def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        return self._keys.find(kid, algorithm)


def verifier(keys: JwkSet | None = None, **settings: Any) -> TokenVerifier:
    public_keys = None if keys is None else Published(keys)
    return TokenVerifier(Identity(**settings), public_keys, clock_ms=lambda: NOW_S * 1000)


BOTH = verifier(PUBLISHED, **BY_SECRET)


async def refusal(token: str, by: TokenVerifier = BOTH) -> str:
    """The reason as it is logged, after a look at all that is told besides."""
    with capture_logs() as lines, pytest.raises(NotAuthenticated) as refused:
        await by.verify(token)
    assert (refused.value.status, refused.value.code, str(refused.value)) == (
        401,
        "invalid_token",
        "the token is not valid",
    )
    assert refused.value.__cause__ is None and refused.value.__suppress_context__
    (line,) = lines
    assert line == {"event": "token_refused", "log_level": "info", "reason": line["reason"]}
    assert line["reason"].replace("_", "").isalpha() and len(line["reason"]) <= 20
    return str(line["reason"])


@pytest.mark.parametrize(
    "token",
    [
        by_secret(),
        by_secret(header={"kid": "r"}),
        by_key(RSA, "r"),
        by_key(EC, "e"),
        by_key(RSA, None),
        by_key(EC, None),
        by_key(RSA, "r", {"typ": "at+jwt"}),
        by_key(RSA, "r", {"typ": "application/at+JWT"}),
        by_key(RSA, "r", {"typ": None}),
        by_key(RSA, "r", aud=["anything"], iss="anybody"),
    ],
)
async def test_whose_token_it_is(token: str) -> None:
    assert await BOTH.verify(token) == SOMEBODY


async def test_an_admin_is_one_who_is_listed() -> None:
    by = verifier(PUBLISHED, **BY_SECRET, admin_user_ids=[str(ADMIN)])
    assert await by.verify(by_secret(sub=str(ADMIN))) == Caller(ADMIN, is_admin=True)
    assert await by.verify(by_key(EC, "e", sub=str(ADMIN))) == Caller(ADMIN, is_admin=True)
    assert await by.verify(by_secret(role="admin", is_admin=True)) == SOMEBODY


@pytest.mark.parametrize(
    ("settings", "keys", "takes"),
    [
        ({}, None, []),
        (BY_SECRET, None, ["HS256"]),
        ({}, PUBLISHED, ["RS256", "ES256"]),
        (BY_SECRET, PUBLISHED, ["HS256", "RS256", "ES256"]),
        ({}, JwkSet(), []),
    ],
)
async def test_none_one_or_both_may_be_set(settings: dict[str, Any], keys: JwkSet | None, takes: list[str]) -> None:
    by = verifier(keys, **settings)
    for algorithm, token in {"HS256": by_secret(), "RS256": by_key(RSA, "r"), "ES256": by_key(EC, "e")}.items():
        if algorithm in takes:
            assert await by.verify(token) == SOMEBODY
        else:
            assert await refusal(token, by) in ("algorithm", "unknown_key")


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", ""])
async def test_a_token_nobody_signed(spelling: str) -> None:
    head, body, _ = by_hand({"alg": spelling, "typ": "JWT"}, claims()).split(".")
    assert await refusal(f"{head}.{body}.") == "algorithm"
    assert await refusal(by_hand({"alg": spelling, "kid": "r"}, claims())) == "algorithm"


@pytest.mark.parametrize(
    "algorithm", ["HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "ES256K", "EdDSA", "hs256"]
)
async def test_another_algorithm(algorithm: str) -> None:
    assert await refusal(by_hand({"alg": algorithm, "kid": "r"}, claims())) == "algorithm"


@pytest.mark.parametrize("algorithm", [None, 7, ["HS256"], {"HS256": 1}])
async def test_an_algorithm_that_is_no_name(algorithm: object) -> None:
    assert await refusal(by_hand({"alg": algorithm}, claims())) == "algorithm"
    assert await refusal(by_hand({}, claims())) == "algorithm"


@pytest.mark.parametrize("key", [RSA, EC])
async def test_a_public_key_is_no_secret(key: Any) -> None:
    for text in (pem(key), pem(key).rstrip(), json.dumps(jwk(key, "r")).encode()):
        for kid in ({}, {"kid": "r"}, {"kid": "e"}):
            forged = by_hand({"alg": "HS256", "typ": "JWT"} | kid, claims(), text)
            assert await refusal(forged) == "signature"
            assert await refusal(forged, verifier(PUBLISHED)) == "algorithm"


async def test_a_symmetric_key_in_the_published_set_signs_nothing() -> None:
    published = parse_jwk_set(key_set({"kty": "oct", "k": "c2VjcmV0", "kid": "o", "alg": "HS256"}, jwk(RSA, "r")))
    forged = by_hand({"alg": "HS256", "kid": "o"}, claims(), b"secret")
    assert await refusal(forged, verifier(published)) == "algorithm"
    assert await refusal(forged, verifier(published, **BY_SECRET)) == "signature"


async def test_a_key_serves_its_own_algorithm_only() -> None:
    assert await refusal(by_key(RSA, "e")) == "unknown_key"
    assert await refusal(by_key(EC, "r")) == "unknown_key"


async def test_the_name_chooses_the_key() -> None:
    two = verifier(parse_jwk_set(key_set(jwk(RSA, "old"), jwk(rsa_key("two"), "new"))))
    assert await two.verify(by_key(RSA, "old")) == SOMEBODY
    assert await two.verify(by_key(rsa_key("two"), "new")) == SOMEBODY
    assert await refusal(by_key(RSA, "new"), two) == "signature"
    assert await refusal(by_key(RSA, "gone"), two) == "unknown_key"
    assert await refusal(by_key(RSA, None), two) == "unknown_key"


async def test_a_token_cannot_bring_its_own_key() -> None:
    thief = rsa_key("thief")
    own = {
        "jwk": jwk(thief, "r"),
        "jku": "https://thief.example/jwks.json",
        "x5c": ["MIIC"],
        "x5u": "https://thief.example",
    }
    assert await refusal(by_key(thief, "r", own)) == "signature"
    assert await refusal(by_key(thief, "thief", own)) == "unknown_key"


@pytest.mark.parametrize(
    "more", [{"crit": ["exp"], "exp": 1}, {"crit": ["b64"], "b64": True}, {"crit": []}, {"b64": True}, {"crit": None}]
)
async def test_an_extension_that_must_be_understood(more: dict[str, Any]) -> None:
    assert await refusal(by_hand({"alg": "HS256"} | more, claims())) in ("critical_extension", "malformed")


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", None, 7, ["JWT"]])
async def test_a_token_for_something_else(kind: object) -> None:
    assert await refusal(by_hand({"alg": "HS256", "typ": kind}, claims())) == "type"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "no_token"),
        ("a.b", "no_token"),
        ("..", "no_token"),
        ("a.b.c", "malformed"),
        ("é.é.é", "no_token"),
        ("\ud800.a.b", "no_token"),
        ("a.b.c.d.e", "no_token"),
        (by_secret()[:-1], "malformed"),
        (by_secret()[:-3], "signature"),
        (by_secret() + "=", "no_token"),
        (" " + by_secret(), "no_token"),
        (by_secret() + "\n", "no_token"),
        (by_hand("no json", claims()), "malformed"),
        (by_hand([], claims()), "malformed"),
        (by_hand({"alg": "HS256", "kid": 7}, claims()), "malformed"),
        (by_hand({"alg": "HS256"}, "no json"), "malformed"),
        (by_hand({"alg": "HS256"}, []), "malformed"),
        (by_hand({"alg": "HS256"}, b"\xff\xfe"), "malformed"),
        (by_hand({"alg": "HS256"}, '{"sub": "x", "exp": NaN}'), "malformed"),
        (by_hand({"alg": "HS256"}, '{"sub": "x", "exp": 1e999}'), "malformed"),
        (by_hand({"alg": "HS256"}, "[" * 2_000), "malformed"),
        (by_hand("[" * 2_000, claims()), "malformed"),
        (by_secret("another secret that is long enough, yes"), "signature"),
        (by_secret(exp=NOW_S - 31), "expired"),
        (by_secret(exp=None), "no_expiry"),
        (by_secret(sub=None), "subject"),
        (by_secret(sub="auth0|1"), "subject_is_no_uuid"),
        (by_secret(nbf=NOW_S + 31), "not_yet_valid"),
    ],
)
async def test_what_proves_nothing(token: str, reason: str) -> None:
    assert await refusal(token) == reason


async def test_a_token_may_have_eight_kibibytes() -> None:
    empty = by_secret(filler="")
    longest = by_secret(filler="x" * ((MAX_TOKEN_BYTES - len(empty)) // 4 * 3))
    assert MAX_TOKEN_BYTES - 4 <= len(longest) <= MAX_TOKEN_BYTES
    assert await BOTH.verify(longest) == SOMEBODY
    assert await refusal(by_secret(filler="x" * MAX_TOKEN_BYTES)) == "too_long"


async def test_an_api_key_is_no_token() -> None:
    assert await refusal(KeyFormat("pp_live-").mint()) == "no_token"


async def test_issuer_audience_and_leeway_are_asked_of_either_kind_of_signature() -> None:
    by = verifier(PUBLISHED, **BY_SECRET, issuer="https://i.example/", audience="farebox", leeway_s=5)
    good: dict[str, Any] = {"iss": "https://i.example/", "aud": ["farebox", "other"]}
    for sign in (by_secret, lambda **said: by_key(RSA, "r", **said)):
        assert await by.verify(sign(**good)) == SOMEBODY
        assert await refusal(sign(**good | {"iss": "https://i.example"}), by) == "issuer"
        assert await refusal(sign(**good | {"aud": "other"}), by) == "audience"
        assert await refusal(sign(**good | {"exp": NOW_S - 6}), by) == "expired"


@pytest.mark.parametrize(
    ("token", "audience", "has_uuid"),
    [
        pytest.param(by_secret(header={"kid": "x"}, **SUPABASE), "authenticated", True, id="supabase secret"),
        pytest.param(by_key(EC, "e", **SUPABASE), "authenticated", True, id="supabase signing key"),
        pytest.param(by_key(RSA, "r", **KEYCLOAK), "account", True, id="keycloak"),
        pytest.param(
            by_key(RSA, "r", **KEYCLOAK_FEDERATED), "account", False, id="keycloak, user of a federated directory"
        ),
        pytest.param(by_key(RSA, "r", **AUTH0), "https://farebox.example/api", False, id="auth0"),
        pytest.param(
            by_key(RSA, "r", {"typ": "at+jwt"}, **AUTH0),
            "https://farebox.example/api",
            False,
            id="auth0 rfc 9068",
        ),
        pytest.param(by_key(RSA, "r", {"cat": "cl_B7d4PD111AAA"}, **CLERK), None, False, id="clerk"),
    ],
)
async def test_tokens_as_the_providers_issue_them(token: str, audience: str | None, has_uuid: bool) -> None:
    said = jwt.decode(token, options={"verify_signature": False})
    settings: dict[str, Any] = BY_SECRET | {"issuer": said["iss"]} | ({"audience": audience} if audience else {})
    email = said.get("email")
    if has_uuid:
        assert await verifier(PUBLISHED, **settings).verify(token) == replace(SOMEBODY, email=email)
    else:
        assert await refusal(token, verifier(PUBLISHED, **settings)) == "subject_is_no_uuid"
    derived = await verifier(PUBLISHED, **settings, subject="derived").verify(token)
    assert derived == Caller(derived_user_id(said["iss"], said["sub"]), is_admin=False, email=email)


@pytest.mark.parametrize("provider", [CLERK, KEYCLOAK])
async def test_only_the_clients_that_are_listed_where_some_are(provider: dict[str, Any]) -> None:
    by = verifier(PUBLISHED, **BY_SECRET, subject="derived", authorized_parties=["https://example.com", "shop"])
    token = by_key(RSA, "r", **provider)
    assert (await by.verify(token)).user_id == derived_user_id(provider["iss"], by_hand_subject(token))
    for other in ("https://evil.example", "shop-admin", ""):
        assert await refusal(by_key(RSA, "r", **provider | {"azp": other}), by) == "authorized_party"
    nameless = {name: value for name, value in provider.items() if name != "azp"}
    assert (await by.verify(by_key(RSA, "r", **nameless))).user_id == (await by.verify(token)).user_id
    assert await by.verify(mint_token(UUID(USER), SECRET, now_ms=NOW_S * 1000)) == SOMEBODY


def by_hand_subject(token: str) -> str:
    subject: str = jwt.decode(token, options={"verify_signature": False})["sub"]
    return subject


async def test_the_address_of_a_caller_is_what_the_token_says() -> None:
    assert (await BOTH.verify(by_secret(email="ada@example.org"))).email == "ada@example.org"
    assert (await BOTH.verify(by_secret(email="ada@example.org", email_verified=False))).email is None
    minted = mint_token(UUID(USER), SECRET, now_ms=NOW_S * 1000, email="ada@example.org")
    assert (await BOTH.verify(minted)).email == "ada@example.org"


@pytest.mark.parametrize("role", ["anon", "service_role"])
async def test_supabase_project_keys_are_no_persons_tokens(role: str) -> None:
    assert await refusal(by_secret(sub=None, iss="supabase", ref="abcdefghijklmnop", role=role)) == "subject"


async def test_an_admin_by_a_derived_id() -> None:
    admin = derived_user_id(AUTH0["iss"], AUTH0["sub"])
    by = verifier(PUBLISHED, subject="derived", admin_user_ids=[str(admin)])
    assert await by.verify(by_key(RSA, "r", **AUTH0)) == Caller(admin, is_admin=True)


@pytest.mark.parametrize(
    "settings",
    [{}, {"issuer": "https://i.example/", "audience": ["a"]}, {"subject": "derived", "issuer": "https://i.example/"}],
)
async def test_a_token_of_our_own_is_good_whatever_is_asked_of_the_providers(settings: dict[str, Any]) -> None:
    token = mint_token(UUID(USER), SECRET, now_ms=NOW_S * 1000)
    assert await verifier(PUBLISHED, **BY_SECRET, **settings).verify(token) == SOMEBODY


async def test_only_the_secret_makes_a_token_our_own() -> None:
    by = verifier(PUBLISHED, **BY_SECRET, issuer="https://i.example/")
    assert await refusal(by_key(RSA, "r", iss=OWN_ISSUER), by) == "issuer"
    assert await refusal(mint_token(UUID(USER), "t" * 32, now_ms=NOW_S * 1000), by) == "signature"
    assert await refusal(mint_token(UUID(USER), SECRET, now_ms=(NOW_S - 3631) * 1000), by) == "expired"


async def test_without_an_address_of_keys_nothing_is_fetched() -> None:
    async with open_verifier(Identity(**BY_SECRET)) as by:
        token = mint_token(UUID(USER), SECRET, now_ms=4_000_000_000_000)
        assert await refusal(token, by) == "not_yet_valid"
        assert await refusal(by_key(RSA, "r"), by) == "algorithm"


def test_a_minted_token_says_whose_it_is_and_until_when() -> None:
    token = mint_token(UUID(USER), SECRET, now_ms=NOW_S * 1000, ttl=timedelta(minutes=5), email="a@example.org")
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    assert jwt.decode(token, options={"verify_signature": False}) == {
        "iss": "farebox",
        "sub": USER,
        "iat": NOW_S,
        "exp": NOW_S + 300,
        "email": "a@example.org",
    }


def test_a_minted_token_lasts_an_hour_unless_said_otherwise() -> None:
    said = jwt.decode(mint_token(UUID(USER), SECRET, now_ms=NOW_S * 1000), options={"verify_signature": False})
    assert said["exp"] - said["iat"] == 3600 and "email" not in said


async def fails_as_it_should(token: str) -> None:
    try:
        await BOTH.verify(token)
    except NotAuthenticated:
        return
    raise AssertionError(f"believed: {token!r}")


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_=-]{0,40}(\.[A-Za-z0-9_=-]{0,40}){2}", fullmatch=True))
async def test_noise_is_not_believed(token: str) -> None:
    await fails_as_it_should(token)


@given(
    st.sampled_from([by_secret(), by_key(RSA, "r"), by_key(EC, "e")]),
    st.integers(0, 10_000),
    st.characters(max_codepoint=255),
)
async def test_a_token_with_one_character_changed_is_not_believed(token: str, place: int, other: str) -> None:
    at = place % len(token)
    if token[at] != other:
        await fails_as_it_should(token[:at] + other + token[at + 1 :])


@given(st.sampled_from([by_secret(), by_key(RSA, "r"), by_key(EC, "e")]), st.data())
async def test_a_part_of_another_token_makes_none(token: str, data: st.DataObject) -> None:
    other = by_secret("another secret that is long enough, yes", sub=str(ADMIN))
    parts = [data.draw(st.sampled_from(pair)) for pair in zip(token.split("."), other.split("."), strict=True)]
    mixed = ".".join(parts)
    if mixed != token:
        await fails_as_it_should(mixed)


@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "zip", "enc", "jwk"]),
        st.none()
        | st.integers()
        | st.sampled_from(["HS256", "RS256", "none", "r", "JWT", "DEF"])
        | st.lists(st.text(max_size=3)),
    )
)
async def test_a_strange_header_signed_by_nobody_we_know_is_not_believed(header: dict[str, Any]) -> None:
    await fails_as_it_should(by_hand(header, claims(), b"somebody else's secret, 32 characters"))
