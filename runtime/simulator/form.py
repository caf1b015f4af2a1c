"""A multipart form -> the fields a JSON body would have, as far as the simulator looks at them."""

from email.message import Message
from email.parser import BytesParser
from typing import Any

import orjson

from runtime.simulator.errors import invalid

_WORDS = {"true": True, "false": False}


def read_form(content_type: bytes, body: bytes) -> dict[str, Any]:
    """Texts as they are, but `stream` and numbers as JSON has them and `simulate` parsed; files as their sizes in
    bytes, under their field's name in `files`. Raises Refused (400).
    """
    message = BytesParser().parsebytes(b"content-type: %b\r\n\r\n%b" % (content_type, body))
    parts = message.get_payload()
    if not message.is_multipart() or not isinstance(parts, list):
        raise invalid("the body is not a multipart form")
    fields: dict[str, Any] = {"files": {}}
    for part in parts:
        if isinstance(part, Message):
            _read_part(part, fields)
    return fields


def _read_part(part: Message, fields: dict[str, Any]) -> None:
    name = part.get_param("name", header="content-disposition")
    payload = part.get_payload(decode=True)
    if not isinstance(name, str) or not isinstance(payload, bytes):
        raise invalid("a part of the form has no name")
    if part.get_filename() is not None:
        fields["files"][name] = len(payload)
        return
    fields[name] = _value(name, payload.decode(errors="replace"))


def _value(name: str, text: str) -> Any:
    if name == "simulate":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise invalid("'simulate' is not valid JSON", "simulate") from error
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
