from pathlib import Path

import pytest

from runtime.config import ConfigError, load, load_with_files
from runtime.secret_files import SecretFiles
from runtime.settings import Config
from runtime.settings.outline import leaves, secrets_of

PEPPER = "p" * 32
TREE = "database: {{url: postgresql:///x}}\nredis: {{url: redis://h}}\nupstreams: [{{url: http://h}}]\n{}"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{PEPPER}\n")
    return path


def config_of(folder: Path, more: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(TREE.format(more))
    return path


def test_a_secret_may_stand_in_a_file_whose_line_end_is_no_part_of_it(tmp_path: Path, secret: Path) -> None:
    path = config_of(tmp_path, f"keys: {{pepper_file: {secret}}}")
    loaded = load_with_files(Config, path, {})
    assert loaded.config.keys.pepper.get_secret_value() == PEPPER
    assert loaded.files == (path, secret)


def test_blanks_at_its_ends_are_part_of_it(tmp_path: Path, secret: Path) -> None:
    secret.write_bytes(f" {PEPPER} \r\n".encode())
    loaded = load(config_of(tmp_path, f"keys: {{pepper_file: {secret}}}"), {})
    assert loaded.keys.pepper.get_secret_value() == f" {PEPPER} "


def test_several_stand_on_lines_of_their_own(tmp_path: Path, secret: Path) -> None:
    many = tmp_path / "many"
    many.write_text("whsec_a\nwhsec_b\n")
    path = config_of(tmp_path, f"keys: {{pepper_file: {secret}}}\nstripe: {{webhook_secrets_file: {many}}}")
    assert [each.get_secret_value() for each in load(path, {}).stripe.webhook_secrets] == ["whsec_a", "whsec_b"]


def test_in_every_place_of_a_list(tmp_path: Path, secret: Path) -> None:
    more = f"keys: {{pepper_file: {secret}}}\n"
    path = config_of(tmp_path, more)
    text = path.read_text().replace(
        "[{url: http://h}]", f"[{{url: http://h}}, {{name: i, url: http://i, api_key_file: {secret}}}]"
    )
    path.write_text(text)
    first, second = load(path, {}).upstreams
    assert first.api_key is None
    assert second.api_key is not None and second.api_key.get_secret_value() == PEPPER


def test_a_path_may_have_a_variable_in_it(tmp_path: Path, secret: Path) -> None:
    path = config_of(tmp_path, "keys: {pepper_file: '${SECRETS}/secret'}")
    assert load(path, {"SECRETS": str(tmp_path)}).keys.pepper.get_secret_value() == PEPPER


def test_a_path_left_empty_is_not_there(tmp_path: Path, secret: Path) -> None:
    path = config_of(tmp_path, f"keys: {{pepper_file: {secret}}}\nidentity: {{jwt_secret_file: '${{NOWHERE:-}}'}}")
    assert load(path, {}).identity.jwt_secret is None


def test_a_variable_may_name_the_file_of_a_secret(tmp_path: Path, secret: Path) -> None:
    path = config_of(tmp_path, "keys: {pepper: in-the-file-and-overridden-by-the-environment}")
    assert load(path, {"FAREBOX_KEY_PEPPER_FILE": str(secret)}).keys.pepper.get_secret_value() == PEPPER


def test_a_variable_goes_before_the_file_of_a_secret(tmp_path: Path, secret: Path) -> None:
    path = config_of(tmp_path, f"keys: {{pepper_file: {secret}}}")
    environ = {"FAREBOX_KEY_PEPPER": "e" * 32, "FAREBOX_KEY_PEPPER_FILE": "/nowhere"}
    assert load(path, environ).keys.pepper.get_secret_value() == "e" * 32


def test_what_is_no_secret_comes_by_no_file(tmp_path: Path, secret: Path) -> None:
    path = config_of(tmp_path, f"keys: {{pepper_file: {secret}}}\nlisten: {{host_file: {secret}}}")
    with pytest.raises(ConfigError, match=r"^listen\.host_file: unknown setting"):
        load(path, {"FAREBOX_SPOOL_DIR_FILE": "/nowhere"})


def test_a_path_that_is_none_is_told_without_its_content() -> None:
    problems: list[str] = []
    filled = SecretFiles(problems).fill({"keys": {"pepper_file": "a\0b"}}, Config)
    assert problems == ["keys.pepper_file: a\0b: not text"] and filled == {"keys": {"pepper": None}}


def test_every_secret_may_come_by_a_file() -> None:
    """A new secret that is no `SecretStr` would be printed; one that is, comes by a file without more ado."""
    secrets = {".".join(place) for place, field in leaves(Config) if "Secret" in str(field.annotation)}
    assert {"database.url", "redis.url", "keys.pepper", "upstreams.api_key", "notices.smtp.password"} <= secrets
    assert secrets_of(Config.model_fields["listen"].annotation) == {}  # type: ignore[arg-type]  # a section it is
