"""What a start does without, and who needs it finds it all the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.lean import lean

ROOT = Path(__file__).parents[3]
STARTING = """
import sys
from runtime.lean import lean
with lean():
    import proxy.cli.serve, proxy.app
taken = sorted(name for name in sys.modules if name.partition(".")[0] in ("opentelemetry", "rich", "prometheus_client"))
assert taken == [], taken
import opentelemetry.sdk.metrics, opentelemetry.sdk.trace, rich.console
"""


def test_a_start_takes_nothing_that_nobody_asked_for_and_all_can_be_had_later() -> None:
    pytest.importorskip("opentelemetry.sdk.metrics")
    pytest.importorskip("rich")
    ran = subprocess.run([sys.executable, "-c", STARTING], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_what_was_there_before_stays_and_an_error_inside_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = object()
    monkeypatch.setitem(sys.modules, "rich", before)
    monkeypatch.delitem(sys.modules, "opentelemetry.metrics", raising=False)
    with pytest.raises(ZeroDivisionError), lean():
        assert sys.modules["rich"] is before and sys.modules["opentelemetry.metrics"] is None
        raise ZeroDivisionError
    assert sys.modules["rich"] is before and "opentelemetry.metrics" not in sys.modules
