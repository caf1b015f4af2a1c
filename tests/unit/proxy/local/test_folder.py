"""The data folder: one owner at a time, the same secrets ever after, private files."""

from dataclasses import asdict
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from proxy.local.folder import DataFolder, Secrets
from proxy.process.starting import StartError
from runtime.settings.fields import MIN_SECRET_CHARS


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder.open(tmp_path / "data")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_it_is_made_where_it_is_not(tmp_path: Path) -> None:
    made = DataFolder.open(tmp_path / "some" / "where")
    assert made.path == tmp_path / "some" / "where" and made.path.is_dir()
    assert mode(made.path) == 0o711, "nobody else lists it"


def test_one_at_a_time(folder: DataFolder) -> None:
    with pytest.raises(StartError, match="another `farebox up`"):
        DataFolder.open(folder.path)


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="--data"):
        DataFolder.open(tmp_path / "file" / "data")


def test_secrets_are_made_once(folder: DataFolder) -> None:
    made = folder.secrets()
    assert folder.secrets() == made
    assert mode(folder.path / "secrets.json") == 0o600


def test_secrets_are_long_enough_for_the_configuration_and_all_different() -> None:
    made = asdict(Secrets.new())
    assert len(set(made.values())) == len(made)
    assert len(made["key_pepper"]) >= MIN_SECRET_CHARS <= len(made["jwt_secret"])
    assert {UUID(made["user_id"]).version, UUID(made["admin_id"]).version} == {4}
    assert made["stripe_webhook_secret"].startswith("whsec_")
    assert Secrets.new() != Secrets.new()


GOOD = asdict(Secrets.new())


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[]",
        b"5",
        b"not json",
        b"",
        orjson.dumps(GOOD | {"unknown": "x"}),
        orjson.dumps(GOOD | {"user_id": "nobody"}),
        orjson.dumps(GOOD | {"admin_id": 5}),
    ],
)
def test_secrets_that_are_not_ours_are_not_overwritten(folder: DataFolder, content: bytes) -> None:
    (folder.path / "secrets.json").write_bytes(content)
    with pytest.raises(StartError, match="--reset"):
        folder.secrets()
    assert (folder.path / "secrets.json").read_bytes() == content


def test_what_is_written_is_read_and_only_its_owner_reads_it(folder: DataFolder) -> None:
    path = folder.write_private("a.json", b'{"a":1}')
    assert folder.read_json("a.json") == {"a": 1} and mode(path) == 0o600
    assert folder.read_json("b.json") is None


def test_writing_again_replaces_the_whole(folder: DataFolder) -> None:
    folder.write_private("a.json", b'{"a":"a long value"}')
    (folder.path / "a.json.new").write_bytes(b"left over from a crash")
    folder.write_private("a.json", b"{}")
    assert folder.read_json("a.json") == {}
    assert sorted(path.name for path in folder.path.iterdir()) == ["a.json", "up.lock"]


def test_a_file_that_others_could_read_is_not_written_into(folder: DataFolder) -> None:
    (folder.path / "a.json").write_bytes(b"open")
    (folder.path / "a.json").chmod(0o644)
    assert mode(folder.write_private("a.json", b"{}")) == 0o600


def test_forgetting_removes_our_own_files_only(folder: DataFolder) -> None:
    folder.secrets()
    folder.write_private("demo.json", b"{}")
    (folder.path / "somebody-elses").touch()
    folder.spool.mkdir()
    (folder.spool / "a.spool").touch()
    folder.forget()
    folder.forget()
    assert sorted(path.name for path in folder.path.iterdir()) == ["somebody-elses", "up.lock"]
