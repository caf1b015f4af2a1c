from typing import Any

import pytest

from runtime.settings import Config
from runtime.settings.changes import changes, is_among, keeping

BASE: dict[str, Any] = {
    "database": {"url": "postgresql://h/x"},
    "redis": {"url": "redis://h"},
    "keys": {"pepper": "p" * 32},
    "upstreams": [{"url": "http://h", "models": ["a"]}],
}


def config(**sections: Any) -> Config:
    merged = {name: BASE.get(name, {}) | section if isinstance(section, dict) else section
              for name, section in sections.items()}  # fmt: skip
    return Config.model_validate(BASE | merged)


SMTP = {"host": "h", "from": "a@example.com"}


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ({}, {}, []),
        ({}, {"listen": {"port": 8080}}, []),  # the default, said outright
        ({}, {"listen": {"port": 1, "max_body_bytes": 2000}}, ["listen.port", "listen.max_body_bytes"]),
        ({}, {"listen": {"admin": {"port": 1}}}, ["listen.admin"]),
        (
            {"listen": {"admin": {"port": 1}}},
            {"listen": {"admin": {"port": 1, "host": "::1"}}},
            ["listen.admin.host"],
        ),
        ({}, {"upstreams": [{"url": "http://i"}]}, ["upstreams"]),
        ({}, {"keys": {"pepper": "q" * 32}}, ["keys.pepper"]),
        ({"notices": {"smtp": SMTP}}, {"notices": {"smtp": SMTP | {"from": "b@example.com"}}}, ["notices.smtp.from"]),
        ({}, {"tokenizers": {"a": "o200k_base"}, "log": {"level": "debug"}}, ["tokenizers", "log.level"]),
    ],
)
def test_what_differs_is_told_by_its_dotted_name(old: Any, new: Any, names: list[str]) -> None:
    assert list(changes(config(**old), config(**new))) == names


def test_what_is_fixed_is_kept_and_the_rest_is_new() -> None:
    old = config(listen={"port": 1, "max_body_bytes": 2000}, log={"level": "info"})
    new = config(listen={"port": 2, "max_body_bytes": 3000}, log={"level": "debug"}, database={"url": "postgresql://i"})
    kept = keeping(old, new, {"listen.port", "database"})
    assert (kept.listen.port, kept.listen.max_body_bytes, kept.log.level) == (1, 3000, "debug")
    assert kept.database == old.database
    assert set(changes(new, kept)) == {"database.url", "listen.port"}


def test_with_nothing_fixed_it_is_the_new_one() -> None:
    new = config(listen={"port": 2})
    assert keeping(config(), new, ()) == new


@pytest.mark.parametrize(
    ("name", "is_there"),
    [("listen.port", True), ("listen", False), ("database.url", True), ("database", True), ("databases", False)],
)
def test_a_setting_is_among_those_named_or_in_their_sections(name: str, is_there: bool) -> None:
    assert is_among(name, ("listen.port", "database")) is is_there
