import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from runtime.logs import ALLOWED_FIELDS, configure, set_level

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


def test_the_level_can_change_while_loggers_are_in_use(lines: Lines) -> None:
    log = structlog.get_logger("farebox.test")
    for level in ("warning", "debug", "info", "error"):
        set_level(level)
        for said in ("debug", "info", "warning", "error"):
            getattr(log, said)(f"{said} at {level}")
        log.log(logging.WARNING, f"logged at {level}")
        try:
            raise KeyError
        except KeyError:
            log.exception(f"exception at {level}")
    assert [line["event"] for line in lines.read_lines()] == [
        *("warning at warning", "error at warning", "logged at warning", "exception at warning"),
        *("debug at debug", "info at debug", "warning at debug", "error at debug"),
        *("logged at debug", "exception at debug"),
        *("info at info", "warning at info", "error at info", "logged at info", "exception at info"),
        *("error at error", "exception at error"),
    ]


def test_a_librarys_lines_follow_the_level(lines: Lines) -> None:
    set_level("error")
    logging.getLogger("some.library").warning("quiet")
    set_level("debug")
    logging.getLogger("some.library").info("never, whatever the level: libraries say too much")
    logging.getLogger("some.library").warning("heard")
    assert [line["reason"] for line in lines.read_lines()] == ["heard"]
