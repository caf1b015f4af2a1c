"""Is a token in force, is it meant for us, whose is it."""

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.claims import Refused, Rules, derived_user_id, email_of, user_of
from tests.support.tokens import NOW_S, USER, claims

ISSUER = "https://issuer.example/"
FOR_US = Rules(issuer=ISSUER, audience=frozenset(("farebox", "farebox-test")))
DERIVED = Rules(derives_user_id=True)
ANYBODY = Rules()


def refusal(given_claims: dict[str, Any], rules: Rules = ANYBODY, now_s: float = NOW_S) -> str:
    with pytest.raises(Refused) as refused:
        user_of(given_claims, now_s, rules)
    return refused.value.reason


def test_whose_it_is() -> None:
    assert user_of(claims(), NOW_S, ANYBODY) == UUID(USER)


@pytest.mark.parametrize(
    ("said", "after_s", "reason"),
    [
        ({"exp": NOW_S}, 29.9, None),
        ({"exp": NOW_S}, 30, "expired"),
        ({"exp": NOW_S + 0.5}, 30, None),
        ({"nbf": NOW_S}, -30, None),
        ({"nbf": NOW_S}, -30.1, "not_yet_valid"),
        ({"iat": NOW_S}, -30, None),
        ({"iat": NOW_S}, -30.1, "not_yet_valid"),
        ({"iat": None}, 0, None),
        ({"exp": None}, 0, "no_expiry"),
        ({"exp": 10**300}, 0, None),
        ({"exp": -(10**300)}, 0, "expired"),
        ({"exp": 0}, 0, "expired"),
    ],
)
def test_in_force_give_or_take_thirty_seconds(said: dict[str, Any], after_s: float, reason: str | None) -> None:
    if reason is None:
        assert user_of(claims(**said), NOW_S + after_s, Rules(leeway_s=30)) == UUID(USER)
    else:
        assert refusal(claims(**said), Rules(leeway_s=30), NOW_S + after_s) == reason


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [str(NOW_S + 60), True, [NOW_S], {}, float("nan"), float("inf"), "never"])
def test_a_time_is_a_number(name: str, value: object) -> None:
    assert refusal(claims(**{name: value})) == "malformed"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_time_that_is_null_is_no_time(name: str) -> None:
    assert refusal(claims() | {name: None}) == "malformed"


@pytest.mark.parametrize("audience", ["farebox", "farebox-test", ["farebox"], ["another", "farebox"]])
def test_meant_for_us(audience: object) -> None:
    assert user_of(claims(iss=ISSUER, aud=audience), NOW_S, FOR_US) == UUID(USER)


@pytest.mark.parametrize(
    "audience", [None, "", "Farebox", "farebox ", [], ["another"], [["farebox"]], {"farebox": 1}, 7]
)
def test_meant_for_others(audience: object) -> None:
    assert refusal(claims(iss=ISSUER, aud=audience), FOR_US) == "audience"


@pytest.mark.parametrize("issuer", [None, "", "https://issuer.example", ISSUER.upper(), [ISSUER], 7])
def test_from_another_issuer(issuer: object) -> None:
    assert refusal(claims(iss=issuer, aud="farebox"), FOR_US) == "issuer"


@pytest.mark.parametrize("said", [{}, {"iss": "anybody", "aud": "authenticated"}, {"aud": ["a", "b"]}, {"aud": 7}])
def test_what_is_not_configured_is_not_checked(said: dict[str, Any]) -> None:
    assert user_of(claims(**said), NOW_S, ANYBODY) == UUID(USER)


AZP = Rules(authorized_parties=frozenset(("https://shop.example", "shop")))


@pytest.mark.parametrize("said", [{"azp": "shop"}, {"azp": "https://shop.example"}, {}])
def test_from_a_client_that_may_or_that_is_not_named(said: dict[str, Any]) -> None:
    assert user_of(claims(**said), NOW_S, AZP) == UUID(USER)


@pytest.mark.parametrize(
    "party", ["", "Shop", "shop ", "https://shop.example/", "https://evil.example", ["shop"], 7, {}]
)
def test_from_another_client(party: object) -> None:
    assert refusal(claims(azp=party), AZP) == "authorized_party"
    assert refusal(claims() | {"azp": None}, AZP) == "authorized_party"
    assert user_of(claims(azp=party), NOW_S, ANYBODY) == UUID(USER)


@pytest.mark.parametrize("said", [{}, {"email_verified": True}, {"email_verified": "true"}])
@pytest.mark.parametrize("email", ["ada@example.org", "a.b+c@mail.example.co.uk", "x" * 64 + "@" + "y" * 63 + ".org"])
def test_an_address(email: str, said: dict[str, Any]) -> None:
    assert email_of(claims(email=email, **said)) == email


@pytest.mark.parametrize("verified", [False, "false", "", 0, [], {}])
def test_an_address_that_was_not_verified_is_none(verified: object) -> None:
    assert email_of(claims(email="ada@example.org", email_verified=verified)) is None
    assert email_of(claims(email="ada@example.org") | {"email_verified": None}) is None


@pytest.mark.parametrize(
    "email",
    [
        None, "", 7, ["ada@example.org"], "ada", "ada@", "@example.org", "ada@localhost", "a@b@example.org",
        "ada@example.org\r\nBcc: eve@example.org", "ada@example.org, eve@example.org", "Ada <ada@example.org>",
        "ada@exämple.org", "ada@-a.org", "ada@a..org", "ada @example.org", "ada@example.org ",
        "x" * 65 + "@example.org", "a@" + "b." * 130 + "org", '"a b"@example.org', "ada@[127.0.0.1]",
        "ada@example.org\n",
    ],
)  # fmt: skip
def test_what_is_plainly_no_address(email: object) -> None:
    assert email_of(claims(email=email)) is None


def test_a_uuid_in_capitals_is_the_same_user() -> None:
    assert user_of(claims(sub=USER.upper()), NOW_S, ANYBODY) == UUID(USER)


@pytest.mark.parametrize(
    "subject",
    [
        f"{{{USER}}}",
        f"urn:uuid:{USER}",
        USER.replace("-", ""),
        f" {USER}",
        f"{USER}\n",
        USER[:-1],
        USER.replace("2b7e1516", "2b7e_516"),
        "00000000-0000-0000-0000-000000000000",
        "auth0|6553da60a54af58e29493993",
        "user_2NNEqL2nrIRdJ194ndJqAHwEfxC",
    ],
)
def test_a_subject_that_is_no_uuid(subject: str) -> None:
    assert refusal(claims(sub=subject)) == "subject_is_no_uuid"


@pytest.mark.parametrize("subject", [None, "", 7, [USER], "é" * 36, "\ud800", "x" * 256])
@pytest.mark.parametrize("rules", [ANYBODY, DERIVED])
def test_a_subject_that_names_nobody(subject: object, rules: Rules) -> None:
    assert refusal(claims(sub=subject, iss=ISSUER), rules) == "subject"


def test_a_derived_id_stays_the_same_forever() -> None:
    expected = UUID("b7a1352f-86f1-5f6a-bb1e-288fbfb23ab7")
    assert derived_user_id("https://tenant.auth0.com/", "auth0|6553da60a54af58e29493993") == expected


def test_a_derived_id_is_of_issuer_and_subject() -> None:
    user = user_of(claims(sub="auth0|1", iss=ISSUER), NOW_S, DERIVED)
    assert user == derived_user_id(ISSUER, "auth0|1") == uuid5(uuid5(NAMESPACE_URL, ISSUER), "auth0|1")
    assert user_of(claims(sub="auth0|2", iss=ISSUER), NOW_S, DERIVED) != user
    assert user_of(claims(sub="auth0|1", iss="https://other.example/"), NOW_S, DERIVED) != user


def test_a_subject_cannot_choose_whose_derived_id_it_gets() -> None:
    assert user_of(claims(sub=USER, iss=ISSUER), NOW_S, DERIVED) != UUID(USER)
    assert derived_user_id("https://a.example", "/b|1") != derived_user_id("https://a.example/", "b|1")


@pytest.mark.parametrize("issuer", [None, "", 7, "é", "x" * 256])
def test_nothing_is_derived_without_an_issuer(issuer: object) -> None:
    assert refusal(claims(sub="auth0|1", iss=issuer), DERIVED) == "issuer"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "azp", "email", "email_verified"]), JSON
    ),
    st.booleans(),
)
def test_strange_claims_are_refused_and_nothing_else(strange: dict[str, Any], derives: bool) -> None:
    for given_claims in (strange, claims(iss=ISSUER, aud="farebox") | strange):
        for issuer in (None, ISSUER):
            audience = FOR_US.audience if issuer else frozenset[str]()
            rules = Rules(issuer, audience, AZP.authorized_parties, derives_user_id=derives)
            assert email_of(given_claims) is None or "@" in str(given_claims["email"])
            try:
                assert isinstance(user_of(given_claims, NOW_S, rules), UUID)
            except Refused:
                pass
