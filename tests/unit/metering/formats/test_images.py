from typing import Any

import pytest

from metering.formats.format import Ask
from metering.formats.images import ask, read, texts
from metering.reading import NOTHING, Reading


@pytest.mark.parametrize(
    ("n", "images"), [(None, 1), (3, 3), ("4", 4), (0, 1), (-1, 1), (99, 10), ("x", 1), (True, 1), (1.5, 1)]
)
def test_how_many_pictures(n: Any, images: int) -> None:
    assert ask({"model": "m", "prompt": "a cat", "n": n}) == Ask("m", generates=False, images=images)


@pytest.mark.parametrize("stream", [True, "true"])
def test_a_stream(stream: Any) -> None:
    assert ask({"model": "m", "stream": stream}).is_stream


@pytest.mark.parametrize(
    ("said", "reading", "is_end"),
    [
        ({"data": [{"url": "a"}, {"url": "b"}]}, Reading(images=2), False),
        ({"data": []}, NOTHING, False),
        ({"type": "image_generation.partial_image", "b64_json": "A"}, NOTHING, False),
        ({"type": "image_edit.completed", "b64_json": "A"}, Reading(images=1), True),
        ({"error": {"message": "no"}}, NOTHING, False),
    ],
)
def test_what_came(said: dict[str, Any], reading: Reading, is_end: bool) -> None:
    found = read(said)
    assert (found.usage, found.is_end) == (reading, is_end)
    assert list(texts(said)) == []
