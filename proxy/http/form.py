"""A form (multipart/form-data, RFC 7578) as the meter sees it: its fields' texts, its files' sizes and beginnings.

The bytes go upstream as they came; this only reads along. The parsing is python-multipart's.
"""

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from proxy.failures import Failure, invalid_request

# Enough of a recording or a picture to find its length or its size in.
HEAD_BYTES = 64 << 10
# OpenAI's longest form has a dozen fields.
MAX_PARTS = 64
MAX_FIELD_BYTES = 1 << 20
_MAX_HEADER_BYTES = 8 << 10


def is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def read_form(raw: bytes, content_type: str) -> dict[str, Any]:
    """Fields as text; a file as `{"file_bytes", "head"}`. Raises the `Failure` (400) that says what is wrong.

    A field that comes twice could be read in two ways, and one of them be priced: it is refused, unless its name ends
    in `[]`, which makes it a list.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise invalid_request("The form has no boundary.")
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks(), max_header_count=16, max_header_size=_MAX_HEADER_BYTES)
        parser.write(raw)
        parser.finalize()
    except FormParserError:
        raise invalid_request("The body is not a valid form.") from None
    if not form.is_whole:
        raise invalid_request("The form ends early.")
    return form.fields


def renamed(raw: bytes, content_type: str, model: str) -> bytes:
    """The same form with another `model`. Raises the `Failure` (400) of one that could be read in another way.

    All but that one value stays as it came; whether it did is looked at again.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    delimiter = b"\r\n--" + boundary
    parts = (b"\r\n" + raw).split(delimiter)
    for place, part in enumerate(parts):
        head, blank, _ = part.partition(b"\r\n\r\n")
        if blank and _name_in(head) == b"model":
            parts[place] = head + blank + model.encode()
    found = delimiter.join(parts)[2:]
    if read_form(found, content_type) != read_form(raw, content_type) | {"model": model}:
        raise invalid_request("The form is not written as forms usually are.")
    return found


def _name_in(head: bytes) -> bytes | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            return parse_options_header(value.strip())[1].get(b"name")
    return None


class _Form:
    """What the parser's callbacks put together."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.is_whole = False
        self._name = ""
        self._is_file = False
        self._parts = 0
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._size = 0
        self._head: list[bytes] = []

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._whole,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise invalid_request(f"The form has more than {MAX_PARTS} parts.")
        self._disposition, self._size, self._head = b"", 0, []

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name")
        if name is None:
            raise invalid_request("A part of the form has no name.")
        self._name, self._is_file = name.decode("utf-8", "replace"), b"filename" in options
        if self._name in self.fields and not self._name.endswith("[]"):
            raise invalid_request("A field of the form comes twice.", self._name[:64])

    def _data(self, data: bytes, start: int, end: int) -> None:
        limit = HEAD_BYTES if self._is_file else MAX_FIELD_BYTES
        self._head.append(data[start : min(end, start + max(0, limit - self._size))])
        self._size += end - start
        if not self._is_file and self._size > MAX_FIELD_BYTES:
            raise Failure("request_too_large", f"A field of the form is longer than {MAX_FIELD_BYTES} bytes.")

    def _end(self) -> None:
        head = b"".join(self._head)
        value: Any = {"file_bytes": self._size, "head": head} if self._is_file else head.decode("utf-8", "replace")
        if self._name.endswith("[]"):
            self.fields.setdefault(self._name, []).append(value)
        else:
            self.fields[self._name] = value

    def _whole(self) -> None:
        self.is_whole = True
