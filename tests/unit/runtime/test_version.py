"""A version there is, or it is said that there is none."""

from importlib.metadata import PackageNotFoundError

import pytest

from runtime import version
from runtime.version import farebox_version


def test_a_source_tree_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", not_found)
    assert farebox_version.__wrapped__() == "unknown"


def test_it_is_the_version_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "version", lambda name: f"{name} 1.2.3")
    assert farebox_version.__wrapped__() == "farebox 1.2.3"
