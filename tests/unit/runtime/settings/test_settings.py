import pytest
from pydantic import ValidationError

from runtime.settings import Config, Identity, Keys, Listen, Upstream

PEPPER = "p" * 32


def test_a_secret_prints_as_stars() -> None:
    secret = "s" * 40
    keys, identity = Keys.model_validate({"pepper": secret}), Identity.model_validate({"jwt_secret": secret})
    for section in (keys, identity, Upstream.model_validate({"url": "http://h", "api_key": secret})):
        assert secret not in repr(section) + str(section) + section.model_dump_json()


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Listen().port = 1  # type: ignore[misc]  # the type checker refuses it as well


@pytest.mark.parametrize(
    ("field", "value"),
    [("port", -1), ("port", 65_536), ("max_body_bytes", 10), ("body_timeout_s", 0), ("client_stall_timeout_s", -1)],
)
def test_a_number_out_of_bounds_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Listen.model_validate({field: value})


def test_a_section_without_a_value_has_its_defaults() -> None:
    tree = {
        "database": {"url": "postgresql:///x", "max_connections": None},
        "redis": {"url": "redis://h"},
        "keys": {"pepper": PEPPER},
        "upstreams": [{"url": "http://h", "api_key": None}],
        "listen": None,
    }
    config = Config.model_validate(tree)
    assert (config.listen, config.database.max_connections) == (Listen(), 8)


def test_an_unknown_setting_is_refused_even_without_a_value() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Listen.model_validate({"prot": None})


def test_administrators_have_a_port_of_their_own_or_none() -> None:
    assert Listen().admin is None
    admin = Listen.model_validate({"port": 8080, "admin": {"port": 8081}}).admin
    assert admin is not None and (admin.host, admin.port) == ("127.0.0.1", 8081), (
        "not reachable from elsewhere unless asked"
    )
    Listen.model_validate({"port": 0, "admin": {"port": 0}})  # the system finds two that differ


@pytest.mark.parametrize("admin", [{}, {"port": 8080}, {"port": 8080, "host": "10.0.0.1"}, {"port": -1}, {"prot": 1}])
def test_a_port_for_administrators_that_is_none_is_refused(admin: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Listen.model_validate({"port": 8080, "admin": admin})


def test_administrators_are_at_one_port_or_nowhere() -> None:
    assert not Listen().admin_on_public_port
    assert Listen.model_validate({"admin_on_public_port": True}).admin is None
    with pytest.raises(ValidationError, match="not both"):
        Listen.model_validate({"admin": {"port": 8081}, "admin_on_public_port": True})
