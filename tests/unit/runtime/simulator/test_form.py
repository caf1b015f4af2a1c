import pytest

from runtime.simulator.errors import Refused
from runtime.simulator.form import read_form

TYPE = b"multipart/form-data; boundary=b"


def part(name: str, value: bytes, extra: str = "") -> bytes:
    return f'--b\r\ncontent-disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + value + b"\r\n"


def test_fields_are_those_of_a_json_body() -> None:
    body = b"".join(
        (
            part("model", b"tiny"),
            part("stream", b"true"),
            part("n", b"2"),
            part("prompt", "é".encode()),
            part("simulate", b'{"seconds": 5}'),
            part("file", bytes(range(256)), '; filename="a.wav"'),
            b"--b--\r\n",
        )
    )
    assert read_form(TYPE, body) == {
        "model": "tiny",
        "stream": True,
        "n": 2,
        "prompt": "é",
        "simulate": {"seconds": 5},
        "files": {"file": 256},
    }


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (TYPE, b""),
        (b"multipart/form-data", part("a", b"b") + b"--b--"),
        (TYPE, b"--b\r\n\r\nx\r\n--b--"),
        (TYPE, part("simulate", b"{") + b"--b--"),
    ],
)
def test_what_is_no_form_is_refused(content_type: bytes, body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read_form(content_type, body)
    assert caught.value.status == 400
