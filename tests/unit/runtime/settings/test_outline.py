import pytest
from pydantic import BaseModel

from runtime.settings import AutoTopup, Config, Keys, Smtp, Stripe, Upstream, WebhookEndpoint
from runtime.settings.outline import is_list, leaves, nearest, secrets_of, section_at, settings_of


@pytest.mark.parametrize(
    ("place", "section"),
    [
        ((), Config),
        (("keys",), Keys),
        (("upstreams", 3), Upstream),
        (("stripe", "auto_topup"), AutoTopup),
        (("notices", "smtp"), Smtp),
        (("notices", "webhooks", 0), WebhookEndpoint),
        (("tokenizers",), None),
        (("nothing",), None),
        (("nothing", "within"), None),
        (("log", "level", "within"), None),
    ],
)
def test_the_section_at_a_place(place: tuple[str | int, ...], section: type[BaseModel] | None) -> None:
    assert section_at(Config, place) is section


def test_a_setting_goes_by_its_name_in_the_file() -> None:
    assert "from" in settings_of(Smtp) and "sender" not in settings_of(Smtp)


def test_secrets_and_lists_of_them() -> None:
    assert set(secrets_of(Stripe)) == {"secret_key", "webhook_secrets"}
    assert not is_list(secrets_of(Stripe)["secret_key"].annotation)
    assert is_list(secrets_of(Stripe)["webhook_secrets"].annotation)


@pytest.mark.parametrize(
    ("section", "name", "meant"),
    [
        (Upstream, "ulr", "url"),
        (Upstream, "api_key_flie", "api_key_file"),
        (Smtp, "form", "from"),
        (Upstream, "zzz", None),
        (None, "url", None),
    ],
)
def test_the_nearest_name(section: type[BaseModel] | None, name: str, meant: str | None) -> None:
    assert nearest(section, name) == meant


def test_every_setting_is_listed_with_its_place() -> None:
    places = [".".join(place) for place, _ in leaves(Config)]
    assert len(places) == len(set(places)) > 80
    assert {"listen.admin.port", "upstreams.url", "notices.webhooks.secrets", "tokenizers", "log.level"} <= set(places)
