"""What somebody needs to call the installation."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from uuid import UUID

import jwt
import orjson

from proxy.local.demo import Demo, describe, how_to_call
from proxy.local.folder import DataFolder, Secrets
from proxy.local.servers import Servers

SECRETS = Secrets.new()
SERVERS = Servers("postgresql://database", "redis://redis", ())


def demo() -> Demo:
    return describe("http://127.0.0.1:8080", "pp_live-x", UUID(int=1), SECRETS, SERVERS, ["tiny", "large"])


def test_the_fields_of_the_contract() -> None:
    fields = asdict(demo())
    assert fields.keys() == {
        "base_url",
        "api_key",
        "key_id",
        "user_id",
        "user_token",
        "admin_id",
        "admin_token",
        "database_url",
        "redis_url",
        "models",
        "stripe_webhook_secret",
    }
    assert (fields["database_url"], fields["redis_url"]) == ("postgresql://database", "redis://redis")
    assert (fields["key_id"], fields["models"]) == (str(UUID(int=1)), ["tiny", "large"])


def test_the_tokens_are_those_of_the_user_and_of_the_admin() -> None:
    for token, subject in ((demo().user_token, SECRETS.user_id), (demo().admin_token, SECRETS.admin_id)):
        claims = jwt.decode(token, SECRETS.jwt_secret, algorithms=["HS256"], options={"require": ["exp", "iat"]})
        assert claims["sub"] == subject


def test_it_is_kept_where_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = DataFolder.open(tmp_path / "data")
    demo().write(folder)
    path = folder.path / "demo.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert orjson.loads(path.read_bytes())["api_key"] == "pp_live-x"


def test_how_to_call_is_a_command_that_a_shell_reads() -> None:
    words = shlex.split(how_to_call(replace(demo(), models=["tiny"])).replace("\\\n", " "))
    assert words[:3] == ["curl", "-N", "http://127.0.0.1:8080/v1/chat/completions"]
    assert "Authorization: Bearer pp_live-x" in words
    body = orjson.loads(words[words.index("-d") + 1])
    assert (body["model"], body["stream"]) == ("tiny", True)
