"""A command says how its process logs: here it is run in the process of the tests, whose other tests look at logs."""

import pytest


@pytest.fixture(autouse=True)
def _logs_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("configure", "set_level"):
        monkeypatch.setattr(f"runtime.logs.{name}", lambda level: None)
