"""Which settings a section has, by the names that stand in a file. Pure: it looks at types, never at values."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

Section = type[BaseModel]

# A secret may also stand in a file of its own, as Kubernetes, Docker and systemd mount them: `api_key_file`.
FILE_SUFFIX = "_file"


def settings_of(section: Section) -> dict[str, FieldInfo]:
    """Name in the file -> what may stand there."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def secrets_of(section: Section) -> dict[str, FieldInfo]:
    """Those of them that are secrets, and so may come by a file; not what maps names to them."""
    settings = settings_of(section).items()
    return {name: field for name, field in settings if _holds(field.annotation, SecretStr) and not _is_mapping(field)}


def section_in(annotation: Any) -> Section | None:
    """The section that stands at a setting, or of which several stand there; None: a value does."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_in(part))), None)


def is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(is_list(part) for part in get_args(annotation))


def section_at(section: Section, location: tuple[str | int, ...]) -> Section | None:
    """The section at this place below `section`; numbers are places in lists."""
    found: Section | None = section
    for part in location:
        if isinstance(part, str):
            field = None if found is None else settings_of(found).get(part)
            found = None if field is None else section_in(field.annotation)
    return found


def nearest(section: Section | None, name: str) -> str | None:
    """Which setting of the section was meant by `name`."""
    if section is None:
        return None
    known = [*settings_of(section), *(f"{name}{FILE_SUFFIX}" for name in secrets_of(section))]
    return next(iter(get_close_matches(name, known, n=1)), None)


def leaves(section: Section, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every setting that holds a value, sections within sections too; a list of sections is gone into once."""
    for name, field in settings_of(section).items():
        inner = section_in(field.annotation)
        if inner is None:
            yield (*before, name), field
        else:
            yield from leaves(inner, (*before, name))


def _is_mapping(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _holds(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_holds(part, kind) for part in get_args(annotation))
