import hashlib
from importlib import resources

import pytest
from redis.asyncio import Redis

from runtime.lua import load_script


@pytest.mark.parametrize(
    ("package", "path"),
    [(package, f"lua/{file.name}") for package in ("metering", "ledger")
     for file in sorted((resources.files(package) / "lua").iterdir(), key=lambda f: f.name)],
)  # fmt: skip
def test_every_script_is_found_as_package_data_and_named_by_its_hash(package: str, path: str) -> None:
    source = (resources.files(package) / path).read_bytes()
    script = load_script(Redis(), package, path)
    assert script.sha == hashlib.sha1(source, usedforsecurity=False).hexdigest()


def test_a_script_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        load_script(Redis(), "metering", "lua/nothing.lua")
