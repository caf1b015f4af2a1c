"""A form as the meter reads it; it goes upstream as it came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.failures import Failure
from proxy.http.form import HEAD_BYTES, MAX_FIELD_BYTES, MAX_PARTS, is_form, read_form, renamed

TYPE = "multipart/form-data; boundary=xyz"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--xyz\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"


END = b"--xyz--\r\n"


def refusal(raw: bytes, content_type: str = TYPE) -> str:
    with pytest.raises(Failure) as caught:
        read_form(raw, content_type)
    return caught.value.code


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [(TYPE, True), ("Multipart/Form-Data;boundary=a", True), ("application/json", False), ("", False)],
)
def test_what_is_a_form(content_type: str, expected: bool) -> None:
    assert is_form(content_type) is expected


def test_fields_are_texts_and_files_their_size_and_beginning() -> None:
    file = bytes(range(256)) * 1024
    raw = part("model", b"whisper") + part("file", file, "a.wav") + part("language", "dé".encode()) + END
    assert read_form(raw, TYPE) == {
        "model": "whisper",
        "file": {"file_bytes": len(file), "head": file[:HEAD_BYTES]},
        "language": "dé",
    }


def test_a_list_of_files() -> None:
    raw = part("image[]", b"a", "1.png") + part("image[]", b"bc", "2.png") + END
    assert [file["file_bytes"] for file in read_form(raw, TYPE)["image[]"]] == [1, 2]


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_whatever_the_bytes(one: bytes, two: bytes) -> None:
    if b"--xyz" in one + two:
        return
    fields = read_form(part("a", one, "f") + part("b", two, "g") + END, TYPE)
    assert (fields["a"]["head"], fields["b"]["head"]) == (one, two)


@given(st.binary(max_size=400))
def test_what_is_no_form_is_refused_or_read(raw: bytes) -> None:
    try:
        read_form(raw, TYPE)
    except Failure as failure:
        assert failure.status == 400


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        END[:-4],
        part("model", b"a"),
        part("model", b"a") + part("model", b"b") + END,
        b"--xyz\r\nContent-Disposition: form-data\r\n\r\na\r\n" + END,
        b"".join(part(f"f{n}", b"") for n in range(MAX_PARTS + 1)) + END,
    ],
)
def test_what_could_be_read_in_two_ways_or_not_at_all(raw: bytes) -> None:
    assert refusal(raw) == "invalid_request_error"


def test_a_form_without_a_boundary() -> None:
    assert refusal(part("model", b"a") + END, "multipart/form-data") == "invalid_request_error"


def test_a_field_has_a_limit() -> None:
    assert refusal(part("prompt", b"x" * (MAX_FIELD_BYTES + 1)) + END) == "request_too_large"


FILE = part("file", b"a\r\n--xy\r\n\r\nname=model" + bytes(range(256)), "a.wav")


def test_a_form_with_another_model_is_otherwise_as_it_came() -> None:
    raw = FILE + part("model", b"whisper") + part("language", b"de") + END
    assert (
        renamed(raw, TYPE, "org/whisper-large")
        == FILE + part("model", b"org/whisper-large") + part("language", b"de") + END
    )
    assert renamed(part("model", b"") + END, TYPE, "x") == part("model", b"x") + END


@given(st.binary(max_size=200), st.text("ab\u00f6/-", min_size=1, max_size=9))
def test_only_the_model_changes_whatever_the_file_holds(file: bytes, model: str) -> None:
    raw = part("model", b"whisper") + part("file", file.replace(b"--xyz", b""), "a.wav") + END
    assert read_form(renamed(raw, TYPE, model), TYPE) == read_form(raw, TYPE) | {"model": model}


def test_a_form_that_could_be_read_in_another_way_is_not_renamed() -> None:
    odd = b'--xyz\r\nContent-Disposition: form-data;\r\n name="model"\r\n\r\nwhisper\r\n' + END
    assert read_form(part("model", b"x") + END, TYPE) == {"model": "x"}
    with pytest.raises(Failure) as caught:
        renamed(odd, TYPE, "y")
    assert caught.value.code == "invalid_request_error"
