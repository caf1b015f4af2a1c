"""What is left out of a body before it is parsed, and that nothing is reckoned otherwise for it."""

import base64
import json
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.estimate.image_size import HEAD_CHARS
from metering.estimate.outline import LONG_BYTES, Outline, outline
from metering.estimate.parts import Parts, parts_of

PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 640, 480)
PNG = base64.b64encode(PNG_HEAD + bytes(LONG_BYTES)).decode()
# A preview before the size: 40 KiB of it.
JPEG_HEAD = b"\xff\xd8\xff\xe1" + struct.pack(">H", 40_002) + bytes(40_000) + b"\xff\xc0\0\x11\x08" + b"\1\0\2\0\3"
JPEG = base64.b64encode(JPEG_HEAD + bytes(LONG_BYTES)).decode()
URL = "data:image/png;base64," + PNG
TEXT = "data:image/png;base64,you are a helpful assistant " * (LONG_BYTES // 40)


def body_of(content: Any, **fields: Any) -> bytes:
    return orjson.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **fields})


def chat(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def reckoned(fields: Any) -> tuple[Any, ...]:
    """All of what is made of a body but the pictures' sources."""
    found: Parts = parts_of(fields)
    sizes = [size for image in found.media.images if (size := len(image.source)) < LONG_BYTES]
    files = (found.media.file_bytes, found.media.hidden, [each.file_bytes for each in found.media.recordings])
    return found.texts, found.structure, found.token_ids, files, len(sizes)


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "What is this?"}, chat(URL)],
        [chat("data:image/jpeg;base64," + JPEG, detail="low"), chat(URL)],
        [{"type": "input_image", "image_url": URL}],
        [{"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": JPEG}}],
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}],
    ],
)
def test_long_pictures_are_left_out_but_for_their_beginnings(content: Any) -> None:
    raw = body_of(content, stream=True)
    found = outline(raw)
    fields, whole = orjson.loads(found.raw), orjson.loads(raw)
    assert found.cuts == sum("text" not in part for part in content)
    assert len(found.raw) < found.cuts * (HEAD_CHARS + 1000)
    assert found.is_of(fields)
    ours, theirs = parts_of(fields), parts_of(whole)
    assert [(len(image.source) < LONG_BYTES, image.is_low) for image in ours.media.images] == [
        (True, image.is_low) for image in theirs.media.images
    ]
    for our, their in zip(ours.media.images, theirs.media.images, strict=True):
        assert isinstance(our.source, str) and isinstance(their.source, str)
        assert our.source[:HEAD_CHARS] == their.source[:HEAD_CHARS]
    assert (ours.texts, ours.structure) == (theirs.texts, theirs.structure)


def test_ollamas_pictures_too() -> None:
    raw = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi", "images": [PNG, "small", JPEG]}]})
    found = outline(raw)
    assert (found.cuts, found.is_of(orjson.loads(found.raw))) == (2, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b'"',
        b" " * 2 * LONG_BYTES,
        b'"' * 2 * LONG_BYTES,
        body_of("x" * 2 * LONG_BYTES),
        body_of([chat("data:image/png;base64," + PNG[:1000])]),
        body_of([chat("https://images.example/" + PNG)]),
        body_of([chat(URL + "é")]),
        body_of([chat(URL)])[:-20],
        body_of([chat(URL)]).replace(b"image/png", b"image\\/png"),
        body_of(f'say "{URL}"'),
        b'{"model":"' + URL.encode(),
    ],
)
def test_all_else_is_parsed_as_it_came(raw: bytes) -> None:
    assert outline(raw) == Outline(raw, 0)
    assert outline(raw).raw is raw


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": TEXT}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": TEXT}]}]},
        {"prompt": TEXT},
        {"input": [TEXT, "short"]},
        {"user": URL},
        {"metadata": {"image_url": URL}},
        {"tools": [{"image_url": URL}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": URL}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": PNG}}]}]},
        {"messages": [{"role": "user", "content": [chat(URL), {"type": "text", "text": TEXT}]}]},
    ],
)
def test_what_only_begins_like_a_picture_is_found_out(fields: dict[str, Any]) -> None:
    raw = orjson.dumps({"model": "m", **fields})
    found = outline(raw)
    assert found.cuts > 0
    assert not found.is_of(orjson.loads(found.raw))


def test_a_picture_whose_field_comes_twice_is_found_out() -> None:
    raw = b'{"messages":[{"content":[{"image_url":"%b","image_url":"small"}]}]}' % URL.encode()
    found = outline(raw)
    assert found.cuts == 1
    assert not found.is_of(orjson.loads(found.raw))


def test_where_no_string_begins_the_rest_is_no_json_either() -> None:
    raw = b'{"a":"b"' + URL.encode() + b'":1}'
    found = outline(raw)
    for each in (raw, found.raw):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(each)


STRINGS = st.sampled_from(["", "a", 'say "hi"', "\\", URL, PNG, JPEG, TEXT, TEXT[4:], "é" + URL, URL + "é", URL + '"'])
NAMES = st.sampled_from(
    ["image_url", "url", "images", "text", "type", "source", "data", "file_data", "input_audio", "x"]
)
VALUES = st.recursive(
    st.one_of(STRINGS, STRINGS.map(chat), st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.booleans())
def test_whatever_holds_as_an_outline_is_reckoned_as_the_whole_is(content: Any, escapes: bool) -> None:
    raw = json.dumps({"messages": [{"content": content}], "x": content}, ensure_ascii=escapes).encode()
    found, whole = outline(raw), orjson.loads(raw)
    fields = orjson.loads(found.raw)
    if found.is_of(fields):
        ours, theirs = reckoned(fields), reckoned(whole)
        assert ours[:-1] == theirs[:-1]
        assert ours[-1] == theirs[-1] + found.cuts
