"""Pictures, recordings and files as each API writes them, and what only looks like one."""

from typing import Any

import pytest

from metering.estimate.media import Image, Media, Recording, taken

DATA = "data:image/png;base64,AAAA"
URL = "https://example.com/x"
UPLOADED = {"file_bytes": 9, "head": b"head"}


def of(part: dict[str, Any]) -> tuple[dict[str, Any], Media]:
    media = Media()
    return dict(taken(part, media)), media


@pytest.mark.parametrize(
    ("part", "images"),
    [
        ({"type": "image_url", "image_url": {"url": DATA}}, [Image(DATA)]),
        ({"type": "image_url", "image_url": {"url": DATA, "detail": "low"}}, [Image(DATA, is_low=True)]),
        ({"type": "image_url", "image_url": DATA}, [Image(DATA)]),
        ({"image_url": {"url": DATA}}, [Image(DATA)]),
        ({"type": "input_image", "image_url": DATA, "detail": "low"}, [Image(DATA, is_low=True)]),
        ({"type": "input_image", "file_id": "file-1"}, [Image()]),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}, [Image("AAAA")]),
        ({"type": "image", "source": {"type": "url", "url": URL}}, [Image()]),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, [Image()]),
        ({"type": "image", "image": URL}, [Image(URL)]),
        ({"role": "user", "images": ["AAAA", "BBBB"]}, [Image("AAAA"), Image("BBBB")]),
        ({"image": UPLOADED, "mask": UPLOADED}, [Image(b"head"), Image(b"head")]),
        ({"image[]": [UPLOADED, UPLOADED]}, [Image(b"head"), Image(b"head")]),
    ],
)
def test_pictures(part: dict[str, Any], images: list[Image]) -> None:
    rest, media = of(part)
    assert media == Media(images=images)
    assert set(rest) <= {"type", "role", "detail"}


def test_a_longer_text_beside_it_is_not_taken_for_the_picture() -> None:
    _, media = of({"type": "image_url", "image_url": {"url": URL, "pad": DATA * 100}})
    assert media.images == [Image(URL)]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "input_audio", "input_audio": {"data": "A" * 1000, "format": "wav"}},
            Media(recordings=[Recording("A" * 1000, 750)]),
        ),
        ({"type": "audio_url", "audio_url": {"url": "data:,AAAA"}}, Media(recordings=[Recording("data:,AAAA", 7)])),
        ({"type": "audio_url", "audio_url": {"url": URL}}, Media(hidden=1)),
        ({"role": "assistant", "audio": {"id": "audio_1"}}, Media(hidden=1)),
        ({"type": "video_url", "video_url": {"url": DATA}}, Media(hidden=1)),
        ({"file": UPLOADED}, Media(recordings=[Recording(b"head", 9, is_upload=True)])),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": "B" * 400}}, Media(file_bytes=300)),
        ({"type": "file", "file": {"file_id": "file-1"}}, Media(hidden=1)),
        ({"type": "input_file", "filename": "a.pdf", "file_data": "B" * 400}, Media(file_bytes=300)),
        ({"type": "input_file", "file_id": "file-1"}, Media(hidden=1)),
        ({"type": "input_file", "file_url": URL}, Media(hidden=1)),
        ({"type": "document", "source": {"type": "base64", "data": "B" * 400}}, Media(file_bytes=300)),
        ({"type": "document", "source": {"type": "url", "url": URL}}, Media(hidden=1)),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, Media(hidden=1)),
    ],
)
def test_recordings_and_files(part: dict[str, Any], expected: Media) -> None:
    assert of(part)[1] == expected


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "hi"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a long text"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "hi"}]}},
        # arguments of calls, which may be called anything
        {"file": "a.py", "source": "main", "images": [1, 2], "image": "a red cat", "audio": {"voice": "alloy"}},
        {
            "file": {"name": "a.py"},
            "file_id": "x",
            "image_url": None,
            "input_audio": {},
            "video": 3,
            "source": {"a": 1},
        },
        {"type": ["string", "null"], "image_url": {"type": "string"}},
    ],
)
def test_what_only_looks_like_one_stays_text(part: dict[str, Any]) -> None:
    rest, media = of(part)
    assert (rest, media) == (part, Media())
