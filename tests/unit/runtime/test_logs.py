import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from runtime.logs import ALLOWED_FIELDS, configure, set_level, turn
from runtime.metrics.common import LOG_LINES

SECRET = "pp_live-0123456789abcdefghijklmnop"


class Lines(io.StringIO):
    def read_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    before = logging.root.handlers[:], logging.root.level
    logging.root.handlers.clear()
    stream = Lines()
    configure("info", stream)
    yield stream
    logging.root.handlers[:], logging.root.level = before
    structlog.reset_defaults()


def test_a_line_is_one_json_object(lines: Lines) -> None:
    structlog.get_logger("farebox.test").info("two\nlines", model="m", status=200)
    (line,) = lines.read_lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "two\nlines", "level": "info", "model": "m", "status": 200}


@pytest.mark.parametrize(
    "field", ["key", "api_key", "token", "authorization", "prompt", "messages", "body", "url", "password", "extra"]
)
def test_a_field_that_is_not_listed_is_dropped(lines: Lines, field: str) -> None:
    log = structlog.get_logger("farebox.test")
    log.info("said", **{field: SECRET}, count=1)
    log.bind(**{field: SECRET}).warning("bound")
    assert SECRET not in lines.getvalue()
    assert [line["event"] for line in lines.read_lines()] == ["said", "bound"]
    assert field not in ALLOWED_FIELDS


def failed(message: str) -> Exception:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


def test_of_an_exception_its_type_and_place_are_shown_and_not_its_message(lines: Lines) -> None:
    log = structlog.get_logger("farebox.test")
    log.error("given", exc_info=failed(SECRET))
    try:
        raise KeyError(SECRET)
    except KeyError:
        log.exception("current")
    given, current = lines.read_lines()
    assert given["exception"].startswith("ValueError at runtime/test_logs.py:")
    assert current["exception"].startswith("KeyError at runtime/test_logs.py:")
    assert SECRET not in lines.getvalue()


def test_a_deep_traceback_is_cut(lines: Lines) -> None:
    def dive(depth: int) -> None:
        if depth == 0:
            raise ValueError(SECRET)
        dive(depth - 1)

    try:
        dive(100)
    except ValueError as error:
        structlog.get_logger("farebox.test").error("deep", exc_info=error)
    assert lines.read_lines()[0]["exception"].count(" > ") == 11


def test_what_a_library_logs_is_its_template(lines: Lines) -> None:
    library = logging.getLogger("some.library")
    library.warning("connecting with %s", SECRET)
    library.error("failed", exc_info=failed(SECRET))
    library.info("too quiet")
    first, second = lines.read_lines()
    assert (first["logger"], first["reason"], first["level"]) == ("some.library", "connecting with %s", "warning")
    assert second["exception"].startswith("ValueError at ")
    assert SECRET not in lines.getvalue()


def test_what_asyncio_says_of_a_failed_task_is_cut_to_its_first_line(lines: Lines) -> None:
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: <Task {SECRET}>")
    assert lines.read_lines()[0]["reason"] == "Task exception was never retrieved"
    assert SECRET not in lines.getvalue()


def test_a_level_below_the_one_set_is_silent(lines: Lines) -> None:
    structlog.get_logger("farebox.test").debug("detail")
    assert lines.getvalue() == ""


def test_the_level_of_loggers_that_are_in_use_can_be_changed(lines: Lines) -> None:
    log = structlog.get_logger("farebox.test")
    bound = log.bind(model="m")
    log.debug("unheard_of")
    set_level("debug")
    log.debug("first")
    bound.debug("second")
    assert log.is_enabled_for(logging.DEBUG)
    set_level("error")
    log.warning("unheard_of")
    assert [line["event"] for line in lines.read_lines()] == ["first", "second"]
    assert not log.is_enabled_for(logging.WARNING)


@pytest.mark.parametrize(("steps", "reached"), [([1], "debug"), ([1, 1], "debug"), ([-1], "warning")])
def test_a_step_at_a_time_it_says_more_or_less(lines: Lines, steps: list[int], reached: str) -> None:
    for step in steps:
        turn(step)
    assert [line["log_level"] for line in lines.read_lines()] == [reached] * len(steps)


def test_warnings_and_errors_are_counted_by_event(lines: Lines) -> None:
    before = dict(LOG_LINES.values)
    log = structlog.get_logger("farebox.test")
    for say in (log.debug, log.info, log.warning, log.error, log.error):
        say("counted")
    grown = {labels: count - before.get(labels, 0) for labels, count in LOG_LINES.values.items()}
    assert (grown["warning", "counted"], grown["error", "counted"]) == (1, 2)
    assert ("info", "counted") not in grown


def test_what_has_no_value_is_not_said(lines: Lines) -> None:
    structlog.get_logger("farebox.test").info("said", model=None, count=0)
    (line,) = lines.read_lines()
    assert "model" not in line
    assert line["count"] == 0


def test_a_line_is_one_write(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several workers write to the same place, and their lines must not mix."""
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    configure("info", Stream())
    structlog.get_logger("farebox.test").info("said")
    (line,) = written
    assert line.endswith("\n")
