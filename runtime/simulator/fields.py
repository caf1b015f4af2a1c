"""Reads one field of a JSON object strictly: the right type within its bounds, or a 400 that names it."""

from collections.abc import Mapping
from typing import Any

from runtime.simulator.errors import invalid


def whole(raw: Mapping[str, Any], name: str, low: int, high: int, *, path: str = "") -> int | None:
    """The integer under `name`, None where it is absent or null."""
    value = raw.get(name)
    if value is None:
        return None
    if type(value) is not int or not low <= value <= high:
        raise invalid(f"'{path}{name}' must be an integer from {low} to {high}", path + name)
    return value


def number(raw: Mapping[str, Any], name: str, high: float, *, path: str = "") -> float | None:
    """The number from 0 to `high` under `name`, None where it is absent or null."""
    value = raw.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= high:
        raise invalid(f"'{path}{name}' must be a number from 0 to {high:g}", path + name)
    return float(value)


def flag(raw: Mapping[str, Any], name: str, *, path: str = "") -> bool | None:
    """The boolean under `name`, None where it is absent or null."""
    value = raw.get(name)
    if value is not None and type(value) is not bool:
        raise invalid(f"'{path}{name}' must be true or false", path + name)
    return value
