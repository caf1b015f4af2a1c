"""What the operator adds to every request for a model: headers, and fields of its body. Pure.

Nothing of it can be said by a client: what is added replaces what the client sent under that name, however it spelled
it. It is added before the request is read for its hold, so that what it asks for is also what is paid for.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from pydantic import SecretStr

from runtime.settings import ModelAdditions

RawHeaders = list[tuple[bytes, bytes]]


class Additions(Struct, frozen=True):
    headers: RawHeaders = []
    body: Mapping[str, Any] = {}


NOTHING_ADDED = Additions()


def additions_of(settings: ModelAdditions) -> Additions:
    return Additions(raw_headers(settings.headers), settings.body)


def raw_headers(given: Mapping[str, SecretStr]) -> RawHeaders:
    """As they go upstream, names in lower case."""
    return [(name.lower().encode(), value.get_secret_value().encode()) for name, value in given.items()]


def overlaid(below: RawHeaders, above: RawHeaders) -> RawHeaders:
    """Both; of a name that both have, the one above."""
    names = {name for name, _ in above}
    return [header for header in below if header[0] not in names] + above


def merged(fields: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON merge patch (RFC 7396): objects are merged, null takes a field away, all else is replaced.

    A field whose name differs only in its case goes too: some servers would take it for ours.
    """
    ours = {name.casefold() for name in patch}
    result = {name: value for name, value in fields.items() if name in patch or name.casefold() not in ours}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            below = result.get(name)
            result[name] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[name] = value
    return result
