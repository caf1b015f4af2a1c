"""How many tokens a picture is, by what is published of each model's rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.estimate.images import MAX_SIZED, drawn_tokens, tokens_of_all
from metering.estimate.media import Image
from tests.unit.metering.estimate.test_image_size import png


def image_tokens(model: str, image: Image, unknown: tuple[int, int] | None = None) -> int:
    return tokens_of_all(model, [image], unknown)


def of(model: str, width: int, height: int, is_low: bool = False) -> int:
    return image_tokens(model, Image(png(width, height), is_low))


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("gpt-4o", (1024, 1024), 765),
        ("gpt-4o-2024-08-06", (2048, 4096), 1105),
        ("GPT-4o", (1024, 1024), 765),
        ("gpt-4o", (10, 10), 255),
        ("openai/gpt-4o-mini", (512, 512), 8500),
        ("gpt-5.5", (1024, 1024), 70 + 140 * 4),
        ("o3-pro", (1024, 1024), 75 + 150 * 4),
        ("computer-use-preview", (1024, 1024), 65 + 129 * 4),
    ],
)
def test_tiles_are_exact(model: str, size: tuple[int, int], tokens: int) -> None:
    assert of(model, *size) == tokens


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("gpt-4.1-mini", (1024, 1024), 1659),
        ("gpt-4.1-nano", (4000, 4000), 3779),
        ("o4-mini", (100, 100), 28),
        ("claude-opus-4-6", (1000, 1000), 1296),
        ("claude-sonnet-4-5", (4000, 3000), 1568),
        ("claude-opus-4-7", (1920, 1080), 2691),
        ("claude-sonnet-5", (3840, 2160), 4784),
        ("Qwen/Qwen2.5-VL-7B", (280, 280), 100),
        ("qwen2.5-vl", (3584, 3584), 16_384),
        ("llava-1.6", (10, 10), 2880),
        ("pixtral-12b", (1024, 1024), 4096),
    ],
)
def test_patches_are_at_most_one_more_each_way(model: str, size: tuple[int, int], tokens: int) -> None:
    assert tokens <= of(model, *size) <= tokens * 1.25 + 20


def test_a_model_nobody_knows_has_the_dearest_rule() -> None:
    assert of("my-model", 10, 10) == 6404
    assert of("my-model", 10_000, 10_000) == 16_384


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o", 85 + 170 * 8),
        ("gpt-4o-mini", 2833 + 5667 * 8),
        ("claude-opus-4-8", 4784),
        ("claude-3-haiku", 1568),
        ("qwen3-vl", 16_384),
        ("my-model", 16_384),
    ],
)
def test_of_a_picture_elsewhere_the_largest_is_taken(model: str, tokens: int) -> None:
    assert image_tokens(model, Image("https://example.com/cat.png")) == image_tokens(model, Image()) == tokens


def test_unless_something_usual_is_asked_for() -> None:
    assert image_tokens("gpt-4o", Image("https://example.com/cat.png"), (1024, 1024)) == 765
    assert image_tokens("gpt-4o", Image(png(10, 10)), (1024, 1024)) == 255


def test_little_detail_is_honoured_by_openai_alone() -> None:
    assert of("gpt-4o", 2000, 2000, is_low=True) == image_tokens("gpt-4o", Image("https://x", is_low=True)) == 85
    assert of("qwen3-vl", 2000, 2000, is_low=True) == of("qwen3-vl", 2000, 2000)
    assert image_tokens("qwen3-vl", Image("https://x", is_low=True)) == 16_384


def test_many_are_added_up_and_not_all_looked_at() -> None:
    small = Image(png(10, 10))
    assert tokens_of_all("gpt-4o", []) == 0
    assert tokens_of_all("gpt-4o", [small] * 3) == 3 * 255
    assert tokens_of_all("gpt-4o", [small] * (MAX_SIZED + 2)) == MAX_SIZED * 255 + 2 * 1445


MODELS = ["gpt-4o", "gpt-4o-mini", "gpt-4.1-mini", "o1", "claude-3", "claude-opus-5", "qwen", "llava", "gemma", "other"]


@given(st.sampled_from(MODELS), st.integers(1, 65_535), st.integers(1, 65_535))
def test_no_size_is_more_than_the_most(model: str, width: int, height: int) -> None:
    assert 0 < of(model, width, height) <= image_tokens(model, Image())


@pytest.mark.parametrize(
    ("model", "quality", "tokens"),
    [
        ("gpt-image-1", "high", 2 * 6540),
        ("gpt-image-1", None, 2 * 6540),
        ("gpt-image-1", ["low"], 2 * 6540),
        ("openai/gpt-image-1-mini", "low", 2 * 708),
        ("dall-e-3", "hd", 0),
        ("flux", None, 0),
    ],
)
def test_what_is_drawn(model: str, quality: object, tokens: int) -> None:
    assert drawn_tokens(model, 2, quality) == tokens
