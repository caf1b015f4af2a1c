"""The settings of webhooks and mails."""

import base64
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from runtime.settings.notices import EVENT_KINDS, Notices, Smtp, WebhookEndpoint, secret_bytes

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
SMTP = {"host": "mail.example.com", "from": "billing@example.com"}


def endpoint(**fields: Any) -> WebhookEndpoint:
    return WebhookEndpoint.model_validate({"url": "https://hooks.example.com/x?token=1", "secrets": SECRET} | fields)


def test_the_defaults() -> None:
    notices = Notices()
    assert (len(notices.webhooks), notices.smtp, int(notices.low_balance)) == (0, None, 5)
    made = endpoint()
    assert (made.channel, made.events, made.timeout_s) == ("webhook:hooks.example.com", EVENT_KINDS, 10)
    assert endpoint(name="shop").channel == "webhook:shop"


def test_an_address_that_may_hold_a_secret_is_not_printed() -> None:
    assert "token" not in repr(endpoint()) and SECRET not in repr(endpoint())


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets(size: int) -> None:
    assert secret_bytes(SecretStr("whsec_" + base64.b64encode(b"k" * size).decode())) == b"k" * size


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        base64.b64encode(b"k" * 32).decode(),
        "whsec_" + "ä" * 40,
        SECRET + "!",
    ],
)
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValidationError) as caught:
        endpoint(secrets=secret)
    assert len(secret) < 10 or secret not in str(caught.value)


def test_several_secrets_sign_while_one_is_replaced() -> None:
    assert len(endpoint(secrets=[SECRET, SECRET]).secrets) == 2
    assert len(endpoint(secrets=f"{SECRET}, {SECRET}").secrets) == 2
    with pytest.raises(ValidationError):
        endpoint(secrets=[SECRET] * 6)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]/x", "https://a.example/x"])
def test_addresses(url: str) -> None:
    assert endpoint(url=url).url == url


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/x", "ftp://a.example/", "https://", "https://u:p@a.example/", "https://a.example/#x"],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValidationError):
        endpoint(url=url)


def test_http_elsewhere_only_where_it_is_asked_for() -> None:
    assert endpoint(url="http://hooks.example.com/x", allow_http=True).allow_http


@pytest.mark.parametrize(
    "fields", [{"events": []}, {"events": ["balance.gone"]}, {"timeout_s": 16}, {"name": "Shop"}, {"max_concurrent": 0}]
)
def test_what_an_endpoint_cannot_be(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        endpoint(**fields)


def test_two_endpoints_of_one_host_need_names() -> None:
    one = {"url": "https://a.example/1", "secrets": [SECRET]}
    with pytest.raises(ValidationError, match="name of its own"):
        Notices.model_validate({"webhooks": [one, one]})
    assert len(Notices.model_validate({"webhooks": [one, one | {"name": "two"}]}).webhooks) == 2


@pytest.mark.parametrize("sender", ["billing@example.com", "Söhne & Co <billing@example.com>"])
def test_senders(sender: str) -> None:
    assert Smtp.model_validate(SMTP | {"from": sender}).sender == sender


@pytest.mark.parametrize(
    "changes",
    [
        {"from": "nobody"},
        {"from": "A\r\nBcc: x@example.com <billing@example.com>"},
        {"from": "a@example.com, b@example.com"},
        {"username": "me"},
        {"password": "p"},
        {"username": "me", "password": "p", "tls": "none"},
        {"tls": "maybe"},
        {"timeout_s": 60},
    ],
)
def test_what_a_mail_server_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Smtp.model_validate(SMTP | changes)


def test_a_password_in_the_clear_stays_on_this_machine() -> None:
    made = Smtp.model_validate(SMTP | {"host": "localhost", "username": "me", "password": "p", "tls": "none"})
    assert made.username == "me" and "'p'" not in repr(made)


@pytest.mark.parametrize("threshold", [-1, "NaN", 9_000_001, "0.0000000001"])
def test_what_is_no_threshold(threshold: Any) -> None:
    with pytest.raises(ValidationError):
        Notices.model_validate({"low_balance": threshold})
