import re
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.config import ConfigError, load, load_as
from runtime.settings import AccountsConfig, DatabaseConfig, IdentityConfig

DATA = Path(__file__).parents[2] / "data" / "config"
BAD = sorted(DATA.glob("bad_*.yaml"))
EXAMPLE = Path(__file__).parents[3] / "config.yaml"
EXPECTED = re.compile(r"# expect: (.*)")
PEPPER = "p" * 32
ENVIRONMENT = {
    "FAREBOX_DATABASE_URL": "postgresql://user:word-one@db/farebox",
    "FAREBOX_REDIS_URL": "redis://:word-two@cache",
    "FAREBOX_KEY_PEPPER": "word-three-" + PEPPER,
    "FAREBOX_UPSTREAM_URL": "http://llm:8000/v1",
}
SECRETS = re.compile(r"word-\w+")
Writer = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_mistake_is_told_at_once_with_its_place(path: Path) -> None:
    text = path.read_text()
    with pytest.raises(ConfigError) as caught:
        load(path, {"SET": "set", "SECRET": "word-secret", "EMPTY": "", "DATA": str(DATA)})
    said = [problem.replace(str(path), path.name).replace(str(DATA), "DATA") for problem in caught.value.problems]
    assert said == EXPECTED.findall(text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert not SECRETS.search(str(caught.value))


def test_there_are_bad_files() -> None:
    assert len(BAD) >= 20
    assert all(EXPECTED.search(path.read_text()) for path in BAD)


def test_the_example_needs_only_the_environment() -> None:
    assert load(EXAMPLE, ENVIRONMENT).upstreams[0].url == "http://llm:8000/v1"
    assert load(EXAMPLE, ENVIRONMENT).listen.host == "0.0.0.0"


def test_the_environment_alone_is_enough() -> None:
    config = load(None, ENVIRONMENT)
    assert config.database.url.get_secret_value() == ENVIRONMENT["FAREBOX_DATABASE_URL"]
    assert (config.listen.port, config.upstreams[0].kind) == (8080, "generic")


def test_the_environment_may_say_where_the_spool_is() -> None:
    assert load(EXAMPLE, ENVIRONMENT | {"FAREBOX_SPOOL_DIR": "/data/spool"}).spool.dir == Path("/data/spool")


def test_no_secret_shows_in_what_was_loaded() -> None:
    config = load(
        None, {**ENVIRONMENT, "FAREBOX_JWT_SECRET": "word-four" + PEPPER, "FAREBOX_UPSTREAM_API_KEY": "word-5"}
    )
    assert not SECRETS.search(repr(config) + str(config) + config.model_dump_json())


def test_the_environment_goes_before_the_file(write: Writer) -> None:
    path = write(
        "database: {url: postgresql:///file, max_connections: 3}\n"
        "upstreams: [{name: a, url: http://file, api_key: file}, {name: b, url: http://second}]\n"
        "identity: {admin_user_ids: [00000000-0000-0000-0000-000000000009]}\n"
    )
    ids = "00000000-0000-0000-0000-000000000001, 00000000-0000-0000-0000-000000000002"
    config = load(path, {**ENVIRONMENT, "FAREBOX_UPSTREAM_API_KEY": "env", "ADMIN_USER_IDS": ids})
    assert config.database.url.get_secret_value().endswith("@db/farebox")
    assert config.database.max_connections == 3
    first, second = config.upstreams
    assert first.api_key is not None
    assert (first.name, first.url, first.api_key.get_secret_value()) == ("a", "http://llm:8000/v1", "env")
    assert second.url == "http://second"
    assert [user.int for user in config.identity.admin_user_ids] == [1, 2]


def test_an_empty_variable_is_one_that_is_not_set(write: Writer) -> None:
    path = write("upstreams: [{url: http://file}]")
    assert load(path, {**ENVIRONMENT, "FAREBOX_UPSTREAM_URL": ""}).upstreams[0].url == "http://file"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("${NAME}", "value"),
        ("${NAME:-other}", "value"),
        ("${UNSET:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("a-${NAME}-${UNSET:-b}", "a-value-b"),
        ("$NAME", "$NAME"),
        ("${UNSET:-}", "127.0.0.1"),
    ],
)
def test_variables_stand_anywhere_in_the_file(write: Writer, text: str, host: str) -> None:
    config = load(write(f"listen: {{host: '{text}'}}"), {**ENVIRONMENT, "NAME": "value", "EMPTY": ""})
    assert config.listen.host == host


def test_what_a_variable_holds_is_not_looked_into_again(write: Writer) -> None:
    config = load(write("listen: {host: '${NAME}'}"), {**ENVIRONMENT, "NAME": "${OTHER}", "OTHER": "x"})
    assert config.listen.host == "${OTHER}"


def test_a_section_whose_lines_are_all_commented_out_is_one_that_is_not_there(write: Writer) -> None:
    config = load(write("database:\n  # url: here\nlisten:\nupstreams:\nkeys: {pepper: null}\n"), ENVIRONMENT)
    assert (config.listen.port, config.upstreams[0].url) == (8080, "http://llm:8000/v1")


def test_a_command_that_needs_one_section_is_not_told_of_the_others(write: Writer) -> None:
    path = write("database: {url: postgresql:///x}\nupstreams: nonsense\nkeys: {pepper: '${UNSET}'}\nlisten: 3\n")
    assert load_as(DatabaseConfig, path, {}).database.url.get_secret_value() == "postgresql:///x"
    assert load_as(IdentityConfig, path, {}).identity.jwt_secret is None
    with pytest.raises(ConfigError, match=r"^redis: required \(or set FAREBOX_REDIS_URL\)$"):
        load_as(AccountsConfig, write("database: {url: postgresql:///x}"), {})


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file or directory$"):
        load(tmp_path / "none.yaml", {})


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00word-one")
    with pytest.raises(ConfigError, match="not YAML"):
        load(path, {})


def test_stripe_is_set_by_its_own_variables(write: Writer) -> None:
    stripe = {
        "STRIPE_SECRET_KEY": "sk_test_a",
        "STRIPE_WEBHOOK_SECRET": "whsec_a,whsec_b",
        "STRIPE_API_BASE": "http://h/",
    }
    config = load(write("stripe: {secret_key: sk_live_file, max_amount: 50}"), {**ENVIRONMENT, **stripe}).stripe
    assert config.secret_key is not None
    assert (config.secret_key.get_secret_value(), config.api_base, int(config.max_amount)) == (
        "sk_test_a",
        "http://h",
        50,
    )
    assert [secret.get_secret_value() for secret in config.webhook_secrets] == ["whsec_a", "whsec_b"]
    assert not re.search("sk_test_a|whsec_", repr(config) + config.model_dump_json())


@pytest.mark.parametrize("secret", [" ", "whsec_a,", ","])
def test_a_signing_secret_that_is_empty_is_a_mistake(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"^stripe\.webhook_secrets\.\d: must not be empty"):
        load(None, {**ENVIRONMENT, "STRIPE_WEBHOOK_SECRET": secret})


@pytest.mark.parametrize("upstreams", ["{url: http://file}", "http://file", "[[a]]", "[null]"])
def test_an_override_of_what_has_the_wrong_shape_does_not_hide_that(write: Writer, upstreams: str) -> None:
    with pytest.raises(ConfigError, match=r"^upstreams(\.0)?: must be a "):
        load(write(f"upstreams: {upstreams}"), ENVIRONMENT)
