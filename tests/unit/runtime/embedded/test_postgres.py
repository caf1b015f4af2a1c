"""What Postgres is told; what it does then is tests/integration/test_embedded_postgres.py."""

from pathlib import Path

import pytest

from runtime.embedded.postgres import SETTINGS, EmbeddedPostgres, arguments
from tests.support.waiting import names_in


def test_the_product_keeps_fsync_on_and_listens_to_this_machine_only() -> None:
    assert "fsync" not in SETTINGS
    assert SETTINGS["listen_addresses"] == "127.0.0.1"
    assert SETTINGS["unix_socket_directories"] == ""


def test_settings_become_arguments() -> None:
    found = arguments(Path("/data/cluster"), 5555, {"a": "1", "b": ""})
    assert found == ["-D", "/data/cluster", "-p", "5555", "-c", "a=1", "-c", "b="]


async def test_an_unusable_password_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="password"):
        await EmbeddedPostgres.start(tmp_path / "pg", "two words")
    assert names_in(tmp_path) == []
