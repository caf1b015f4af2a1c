"""Bad requests for every operation and every field that a description names, so that a new route is tried as well.

A case that the description does not allow must be refused. What it happens to allow (SQL is a fine name for a key)
may pass, but must be answered as described like everything else.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tests.support.described import Description, Operation, Tree

# Stands in whatever is sent; must never stand in a log.
MARK = "xyzzy-what-a-client-sent"
MEGABYTE = 1 << 20
JSON = "application/json"
# Bodies up to 64 KiB are read at all.
_LONG = 60_000

_SQL = [
    "'; DROP TABLE ai_wallets; --",
    "' OR '1'='1",
    "1; SELECT pg_sleep(60)",
    "%' UNION SELECT key_hash FROM ai_api_keys --",
]
_STRANGE = [
    "", " ", "\t", "a\x00b", "a\nb", "a\u202eb", "\ufeff", "\u2028", "e\u0301" * 50, "\U0001f511" * 101, "x" * _LONG,
    "../../../etc/passwd", "{{7*7}}", "${jndi:ldap://x}", "<script>alert(1)</script>", "%s%n", "NaN", "null", "0x10",
    "\uff11\uff12", "00000000-0000-0000-0000-000000000000", "{0b0b0b0b-0000-4000-8000-000000000002}", "9999-12-31",
    "0001-01-01T00:00:00+14:00", "2026-02-30", "2026-11-22T10:00:00+99:99", "https://evil.example/",
    "http://169.254.169.254/", "10.0.0.0/33", "::/0/0", MARK,
]  # fmt: skip
# As they stand in the JSON: what Python could not say, too.
_LITERALS = [
    "null", "true", "false", "0", "-0", "-1", "5", "1.5", "-1e30", "1e30", "1e309", "-1e309", "1e-30", "0.0000000001",
    "1E+99999999999999", "1E+" + "9" * 40, "9" * 30, "9" * 5000, "-" + "9" * 400, "9007199254740993",
    "9223372036854775808", "2147483648", "NaN", "Infinity", "-Infinity", "01", "+1", "0x1F", "[]", "{}", "[null]",
    '{"a": 1}', '"5"', r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', "[" * 1000 + "]" * 1000,
    "[" * 20_000, '{"a":' * 10_000 + "1" + "}" * 10_000,
    "undefined", json.dumps(["x"] * 10_000), json.dumps([MARK]), "'x'",
]  # fmt: skip
_RAW = [b'"\xed\xa0\x80"', b'"\xc0\xaf"', b'"\xff"', b'"\xf5\x80\x80\x80"']
_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "blank": b" \r\n",
    "half": b"{",
    "an array": b"[]",
    "an array of it": b"[{}]",
    "null": b"null",
    "text": b'"x"',
    "a number": b"5",
    "NaN": b"NaN",
    "not UTF-8": b"\xff\xfe\xfd",
    "a NUL": b"\x00",
    "deep": b"[" * _LONG,
    "deep objects": b'{"a":' * 12_000,
    "two": b"{}{}",
    "XML": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    "a megabyte": b" " * MEGABYTE,
}
_QUERY_RAW = [
    "%00",
    "%ED%A0%80",
    "%C0%AF",
    "%FF",
    "%",
    "%zz",
    "a%0d%0ax-evil:1",
    "+",
    "1&",
    "9" * 30,
    "-1",
    "1.5",
    "1e309",
    "%E2%80%AE",
]


@dataclass(frozen=True)
class Case:
    """One request; `must_be_refused`: with a 4xx, and nothing may change."""

    operation: Operation
    name: str
    path: str
    body: bytes | None
    must_be_refused: bool
    content_type: str | None = JSON

    def __str__(self) -> str:
        return f"{self.operation.name}: {self.name}"


def bad_requests(description: Description) -> Iterator[Case]:
    for operation in description.operations:
        yield from _bad_queries(operation)
        yield from _bad_paths(operation)
        if operation.body is not None:
            yield from _bad_bodies(operation)
            yield from _bad_fields(operation)


def _bad_bodies(operation: Operation) -> Iterator[Case]:
    path, good = operation.good_path(), json.dumps(operation.good_body()).encode()
    for name, body in _BODIES.items():
        yield Case(operation, f"a body of {name}", path, body, True)
    for content_type in ("text/html", "multipart/form-data; boundary=x", "text/xml"):
        yield Case(operation, f"a body said to be {content_type}", path, good, True, content_type)
    yield Case(operation, "a form", path, urlencode(operation.good_body()).encode(), True, None)
    for name in (MARK, r"\ud800", r"\u0000", "__proto__", "x" * _LONG):
        yield Case(operation, f"an unknown field {name[:20]}", path, good[:-1] + b', "%b": 1}' % name.encode(), True)


def _bad_fields(operation: Operation) -> Iterator[Case]:
    assert operation.body is not None
    good = operation.good_body()
    for field in operation.body.get("properties", {}):
        if field in good:
            yield _body_case(operation, f"{field} missing", {k: _raw(v) for k, v in good.items() if k != field})
        twice = json.dumps(field).encode() + b": " + _raw(good.get(field))
        yield Case(operation, f"{field} twice", operation.good_path(), b"{" + twice + b", " + twice + b"}", True)
        for literal in _field_values():
            name = f"{field} = {literal[:40].decode(errors='replace')}"
            yield _body_case(operation, name, {k: _raw(v) for k, v in good.items()} | {field: literal})
        too_long = {k: _raw(v) for k, v in good.items()} | {field: b'"' + b"x" * MEGABYTE + b'"'}
        yield _body_case(operation, f"{field} of a megabyte", too_long)


def _field_values() -> Iterator[bytes]:
    yield from (literal.encode() for literal in _LITERALS)
    yield from (json.dumps(text, ensure_ascii=False).encode() for text in (*_STRANGE, *_SQL))
    yield from _RAW


def _body_case(operation: Operation, name: str, literals: dict[str, bytes]) -> Case:
    body = b"{" + b", ".join(json.dumps(k).encode() + b": " + v for k, v in literals.items()) + b"}"
    return Case(operation, name, operation.good_path(), body, not _allows(operation, body))


def _raw(value: Any) -> bytes:
    return json.dumps(value).encode()


def _allows(operation: Operation, body: bytes) -> bool:
    """Does the description take this body? What is no JSON, it does not."""
    if len(body) > MEGABYTE:
        return False
    try:
        parsed = json.loads(body, parse_constant=_refuse)
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    if operation.scheme == "signature":
        return False  # nobody signed it
    try:
        return bool(_validator(operation).is_valid(parsed))
    except ValueError:  # a number or a depth that the validator itself cannot take
        return False


_validators: dict[int, Any] = {}


def _validator(operation: Operation) -> Any:
    if id(operation) not in _validators:
        _validators[id(operation)] = operation.description.validator(operation.body or {})
    return _validators[id(operation)]


def _refuse(name: str) -> None:
    raise ValueError(name)


def _bad_queries(operation: Operation) -> Iterator[Case]:
    path = operation.good_path()
    body = None if operation.body is None else json.dumps(operation.good_body()).encode()
    if body is not None:  # what a route with a body ignores in its query is not tried with a good body
        return
    known = operation.parameters("query")
    if known:
        yield Case(operation, "an unknown parameter", f"{path}?{MARK}=1", None, True)
    for name, schema in known.items():
        yield Case(operation, f"{name} twice", f"{path}?{name}=1&{name}=1", None, True)
        for text in (*_STRANGE, *_SQL, *map(str, (0, 5))):
            if len(text) < 5000:
                sent = f"{path}?{name}={quote(text, safe='')}"
                yield Case(operation, f"{name} = {text[:40]!r}", sent, None, not _allows_text(operation, schema, text))
        for raw in _QUERY_RAW:
            yield Case(operation, f"{name} = {raw}", f"{path}?{name}={raw}", None, False)
        yield Case(operation, f"{name} very long", f"{path}?{name}={'x' * 8000}", None, True)


def _allows_text(operation: Operation, schema: Tree, text: str) -> bool:
    validator = operation.description.validator(schema)
    as_number = text.isascii() and text.isdecimal() and validator.is_valid(int(text))
    return bool(as_number or validator.is_valid(text))


def _bad_paths(operation: Operation) -> Iterator[Case]:
    body = None if operation.body is None else json.dumps(operation.good_body()).encode()
    for name in operation.parameters("path"):
        for text in (*_STRANGE, *_SQL):
            if 0 < len(text) < 5000 and "/" not in text:
                sent = operation.path.replace(f"{{{name}}}", quote(text, safe=""))
                yield Case(operation, f"path {name} = {text[:40]!r}", sent, body, True)
        for raw in ("%00", "%ED%A0%80", "%C0%AF", "..%2f..%2fkeys", "x" * 600, "0" * 32):
            sent = operation.path.replace(f"{{{name}}}", raw)
            yield Case(operation, f"path {name} = {raw[:40]}", sent, body, True)
