"""Structured logs: one JSON object a line, made of fields from an allow-list and nothing else.

Its level can be changed while the process runs. How often warnings and errors are logged is counted, by event.

A field that is not listed here is dropped before it is written: a key, a token or a prompt cannot reach a log by
being passed to one. What a library logs through `logging` is reduced to its logger, level and message template.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import orjson
import structlog

from runtime.metrics.common import LOG_LINES

ALLOWED_FIELDS = frozenset(
    (
        "event",
        "level",
        "logger",
        "timestamp",
        # who and what: ids only
        "request_id",
        "client_request_id",
        "key_id",
        "user_id",
        "wallet_id",
        "model",
        "endpoint",
        "upstream",
        # how it went
        "status",
        "code",
        "end_reason",
        "usage_source",
        "input_tokens",
        "output_tokens",
        "cost_nanos",
        "hold_nanos",
        "charge_nanos",
        "duration_ms",
        "added_ms",
        "uploading_ms",
        "first_byte_ms",
        "slow",
        "streamed",
        # the machinery
        "address",
        "attempt",
        "child",
        "consumer",
        "count",
        "data",
        "delay_s",
        "error",
        "event_id",
        "exception",
        "exit_code",
        "host",
        "left",
        "log_level",
        "migration",
        "month",
        "offsets",
        "origin",
        "path",
        "phase",
        "pid",
        "port",
        "posted",
        "duplicates",
        "process",
        "reason",
        "server",
        "settings",
        "shard",
        "signal",
        "size_bytes",
        "task",
        "version",
        "waited_s",
        "waiting",
        "wanted",
        "worker",
    )
)


def _only_allowed(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Without those that have no value."""
    return {name: value for name, value in fields.items() if name in ALLOWED_FIELDS and value is not None}


def _counted(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Events are named in the source, so there are only so many."""
    level = fields["level"]
    if level in _COUNTED_LEVELS:
        LOG_LINES.add((level, fields["event"]))
    return fields


_COUNTED_LEVELS = frozenset(("warning", "error", "critical"))


def _error_by_type(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Traceback frames without values: a message may quote the input that caused it."""
    error = fields.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        fields["exception"] = _where(error)
    return fields


def _where(error: BaseException) -> str:
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        file = "/".join(code.co_filename.rsplit("/", 2)[-2:])
        frames.append(f"{file}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return f"{type(error).__name__} at " + " > ".join(frames[-_FRAMES_SHOWN:])


_FRAMES_SHOWN = 12


def _dump(fields: Any, **_: Any) -> str:
    return orjson.dumps(fields, default=str).decode()


def configure(level: str, stream: TextIO = sys.stderr) -> None:
    """Set up logging for this process; call once, first. `set_level` changes the level later."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _counted,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _error_by_type,
            _only_allowed,
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        wrapper_class=_Logger,
        # One write a line, its end with it: several workers write to the same place.
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_ThroughStructlog()])
    set_level(level)


def set_level(level: str) -> None:
    """From now on, for all loggers of this process."""
    global _level
    number = logging.getLevelNamesMapping()[level.upper()]
    for name, method in vars(structlog.make_filtering_bound_logger(number)).items():
        if not name.startswith("__"):
            setattr(_Logger, name, method)
    logging.getLogger().setLevel(max(logging.WARNING, number))
    _level = level


def turn(steps: int) -> None:
    """More is said, or less where `steps` is negative: one of LEVELS after the other."""
    place = LEVELS.index(_level) + steps
    set_level(LEVELS[min(max(place, 0), len(LEVELS) - 1)])
    structlog.get_logger("farebox.logs").warning("log_level_changed", log_level=_level)


LEVELS = ("error", "warning", "info", "debug")
_level = "info"


class _Logger(structlog.BoundLoggerBase):
    """Its methods are those of structlog's logger of the level that is set: what is below it costs an empty call."""


class _ThroughStructlog(logging.Handler):
    """Libraries' own log lines, without their arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        error = record.exc_info[1] if record.exc_info else None
        log.log(record.levelno, "library_log", logger=record.name, reason=_template(record), exc_info=error)


def _template(record: logging.LogRecord) -> str:
    # asyncio puts the failed task's repr, and with it the message of its error, on the lines after the first
    return str(record.msg).split("\n", 1)[0]
