"""What differs between two configurations, and a new one that keeps of the old what cannot change. Pure."""

from collections.abc import Collection, Iterator
from typing import TypeVar

from pydantic import BaseModel

AnySection = TypeVar("AnySection", bound=BaseModel)


def changes(old: BaseModel, new: BaseModel, before: str = "") -> Iterator[str]:
    """Dotted names of the settings that differ; a list is one setting. Values are never told."""
    for name, field in type(new).model_fields.items():
        was, now = getattr(old, name), getattr(new, name)
        place = f"{before}{field.alias or name}"
        if isinstance(was, BaseModel) and isinstance(now, BaseModel):
            yield from changes(was, now, f"{place}.")
        elif was != now:
            yield place


def keeping(old: AnySection, new: AnySection, fixed: Collection[str], before: str = "") -> AnySection:
    """`new`, with what is named in `fixed` (settings, or whole sections) as it is in `old`."""
    kept = {}
    for name, field in type(new).model_fields.items():
        was, now = getattr(old, name), getattr(new, name)
        place = f"{before}{field.alias or name}"
        if place in fixed:
            kept[name] = was
        elif isinstance(was, BaseModel) and isinstance(now, BaseModel):
            kept[name] = keeping(was, now, fixed, f"{place}.")
    return new.model_copy(update=kept)


def is_among(name: str, settings: Collection[str]) -> bool:
    """Is this setting, or a section that it stands in, named?"""
    return any(name == each or name.startswith(f"{each}.") for each in settings)
