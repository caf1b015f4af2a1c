import pytest
from pydantic import ValidationError

from runtime.settings import Identity, KeyPolicy, Stripe


@pytest.mark.parametrize(
    "url",
    [
        "https://tenant.auth0.com/.well-known/jwks.json",
        "https://h/discovery/keys?p=policy",
        "https://h/keys/",
        "http://localhost:8080/keys",
        "http://127.0.0.1/keys",
        "http://[::1]:8080/keys",
    ],
)
def test_an_address_of_keys_stays_as_it_was_written(url: str) -> None:
    assert Identity.model_validate({"jwks_url": url}).jwks_url == url


@pytest.mark.parametrize(
    "url",
    ["", "h/keys", "ftp://h", "https://", "https://u:p@h", "https://u@h", "https://h#a", "http://h", "http://10.0.0.1"],
)
def test_what_is_no_safe_address_of_keys_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="jwks_url"):
        Identity.model_validate({"jwks_url": url})


def test_keys_over_plain_http_have_to_be_asked_for() -> None:
    tree = {"jwks_url": "http://keycloak:8080/keys", "jwks_allow_http": True}
    assert Identity.model_validate(tree).jwks_url == "http://keycloak:8080/keys"


@pytest.mark.parametrize("key", ["-----BEGIN PUBLIC KEY-----\nMIIB", "\n-----BEGIN CERTIFICATE-----\nMIIB"])
def test_a_public_key_is_no_secret(key: str) -> None:
    with pytest.raises(ValidationError, match="must be a secret"):
        Identity.model_validate({"jwt_secret": key + "A" * 40})


def test_an_audience_is_one_name_or_several() -> None:
    assert Identity.model_validate({"audience": "farebox"}).audience == ("farebox",)
    assert Identity.model_validate({"audience": ["a", "b"]}).audience == ("a", "b")
    assert Identity.model_validate({"audience": None}).audience == ()


@pytest.mark.parametrize(
    "tree",
    [
        {"audience": ""},
        {"audience": [""]},
        {"audience": 7},
        {"issuer": ""},
        {"leeway_s": -1},
        {"leeway_s": 301},
        {"subject": "email"},
    ],
)
def test_what_would_quietly_check_nothing_is_refused(tree: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Identity.model_validate(tree)


@pytest.mark.parametrize("given", [{"secret_key": ""}, {"secret_key": "pk_live_x"}, {"secret_key": " sk_live_x"}])
def test_only_a_secret_key_is_a_stripe_key(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Stripe.model_validate(given)


@pytest.mark.parametrize("secrets", ["", " ", "whsec_a,", ["whsec_a", ""], ["\n"], ["x"] * 6])
def test_an_empty_signing_secret_is_a_mistake(secrets: object) -> None:
    with pytest.raises(ValidationError):
        Stripe.model_validate({"webhook_secrets": secrets})


def test_signing_secrets_may_be_several() -> None:
    one, two = Stripe.model_validate({"webhook_secrets": "whsec_a, whsec_b"}).webhook_secrets
    assert (one.get_secret_value(), two.get_secret_value()) == ("whsec_a", "whsec_b")
    assert Stripe.model_validate({"webhook_secrets": ["whsec_a"]}).webhook_secrets == (one,)


def test_without_stripe_there_is_neither_checkout_nor_webhook() -> None:
    assert (Stripe().secret_key, Stripe().webhook_secrets) == (None, ())


@pytest.mark.parametrize(
    "bounds",
    [
        {"min_amount": "0.49"},
        {"max_amount": 1_000_000},
        {"min_amount": "1.001"},
        {"min_amount": "NaN"},
        {"min_amount": 10, "max_amount": 9},
    ],
)
def test_amounts_are_what_a_card_can_pay(bounds: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Stripe.model_validate(bounds)


@pytest.mark.parametrize("url", ["/paid", "javascript:alert(1)", "https://u:p@h/", "https://", "http://[::1"])
def test_people_are_sent_back_to_an_address(url: str) -> None:
    with pytest.raises(ValidationError):
        Stripe.model_validate({"success_url": url})
    back = "https://h/a?b={CHECKOUT_SESSION_ID}#c"
    assert Stripe.model_validate({"cancel_url": back}).cancel_url == back


def test_authorized_parties_are_one_or_several() -> None:
    assert Identity.model_validate({"authorized_parties": "shop"}).authorized_parties == ("shop",)
    assert Identity.model_validate({"authorized_parties": ["a", "b"]}).authorized_parties == ("a", "b")
    assert Identity().authorized_parties == ()


@pytest.mark.parametrize("given", ["", [""], 7, ["x"] * 33])
def test_a_party_that_nobody_can_be_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        Identity.model_validate({"authorized_parties": given})


def test_keys_are_bounded_in_number_and_free_in_what_nobody_set() -> None:
    policy = KeyPolicy()
    assert (policy.max_keys_per_user, policy.max_rotation_grace_s) == (100, 604_800)
    assert (policy.max_tokens_per_minute, policy.max_concurrent_requests) == (None, None)


@pytest.mark.parametrize(
    "given",
    [
        {"max_tokens_per_minute": 0},
        {"max_tokens_per_minute": 100_000_001},
        {"max_concurrent_requests": 0},
        {"max_concurrent_requests": 100_001},
        {"max_keys_per_user": 0},
        {"max_rotation_grace_s": -1},
        {"max_rotation_grace_s": 365 * 86_400 + 1},
    ],
)
def test_a_bound_that_no_key_could_keep_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        KeyPolicy.model_validate(given)
