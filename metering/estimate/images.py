"""How many tokens a picture is: by its size, where it came inline, and the model's rule. At most; nothing is fetched.

Rules: OpenAI's tiles and patches and Together's tiles as in the counters of other gateways; Anthropic's patches as
documented (28 x 28 pixels, scaled down to a long side and a most). Of open models without a rule here the dearest
known is taken: Qwen-VL's patches, or four tiles of Llama's, whichever is more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from metering.estimate.image_size import Size, size_of
from metering.estimate.media import Image


@dataclass(frozen=True, slots=True)
class _Tiles:
    """OpenAI: into 2048 x 2048, the shorter side to 768, tiles of 512: eight at most. Little detail is the base."""

    base: int
    each: int

    @property
    def most(self) -> int:
        return self.base + self.each * 8

    def __call__(self, size: Size, is_low: bool) -> int:
        if is_low:
            return self.base
        width, height = _fit(size, 2048)
        short = min(width, height)
        if short > 768:
            width, height = -(-width * 768 // short), -(-height * 768 // short)
        return min(self.most, self.base + self.each * -(-width // 512) * -(-height // 512))


@dataclass(frozen=True, slots=True)
class _Patches:
    """Patches of so many pixels square, at most so many after scaling to `long_side`, times a hundredth."""

    pixels: int
    most_patches: int
    hundredths: int = 100
    long_side: int = 1 << 16
    least: int = 1

    @property
    def most(self) -> int:
        return -(-self.most_patches * self.hundredths // 100)

    def __call__(self, size: Size, _: bool) -> int:
        width, height = _fit(size, self.long_side)
        # where a server rounds to whole patches, it may be one more
        patches = (-(-width // self.pixels) + 1) * (-(-height // self.pixels) + 1)
        return max(self.least, min(self.most, -(-patches * self.hundredths // 100)))


Rule = _Tiles | _Patches
_CLAUDE_BEFORE_4_7 = _Patches(28, 1568, long_side=1568)
# four tiles of 1,601 (Llama 3.2); Qwen2-VL reads 16,384 merged patches at most
_UNKNOWN = _Patches(28, 16_384, least=6404)
# By the beginning of the model's name, the longest first that fits.
_RULES: dict[str, Rule] = {
    "gpt-4o-mini": _Tiles(2833, 5667),
    "gpt-4o": _Tiles(85, 170),
    "gpt-4.1-mini": _Patches(32, 1536, 162),
    "gpt-4.1-nano": _Patches(32, 1536, 246),
    "gpt-4.1": _Tiles(85, 170),
    "gpt-4.5": _Tiles(85, 170),
    "gpt-5-mini": _Patches(32, 1536, 162),
    "gpt-5-nano": _Patches(32, 1536, 246),
    "gpt-5": _Tiles(70, 140),
    "o4-mini": _Patches(32, 1536, 172),
    "o1": _Tiles(75, 150),
    "o3": _Tiles(75, 150),
    "computer-use": _Tiles(65, 129),
    "claude": _Patches(28, 4784, long_side=2576),
    "claude-3": _CLAUDE_BEFORE_4_7,
    "claude-haiku-4": _CLAUDE_BEFORE_4_7,
    "claude-sonnet-4": _CLAUDE_BEFORE_4_7,
    "claude-opus-4": _CLAUDE_BEFORE_4_7,
    "claude-opus-4-7": _Patches(28, 4784, long_side=2576),
    "claude-opus-4-8": _Patches(28, 4784, long_side=2576),
    "qwen": _Patches(28, 16_384),
    "llava": _Patches(28, 2880, least=2880),  # five views of 576, however small
    "gemma": _Patches(28, 1280, least=1280),  # 256, and four more views of as many
    "pixtral": _Patches(16, 4160),
    "mistral": _Patches(14, 4160),
}


# More than servers take in one request; the rest is counted at the most.
MAX_SIZED = 1000


def tokens_of_all(model: str, images: Sequence[Image], unknown: Size | None = None) -> int:
    """`unknown`: what to take for a picture whose size cannot be told; None: the most that the model's rule gives."""
    if not images:
        return 0
    rule = _rule(model)
    sized = sum(_tokens(rule, image, unknown) for image in images[:MAX_SIZED])
    return sized + rule.most * max(0, len(images) - MAX_SIZED)


def _tokens(rule: Rule, image: Image, unknown: Size | None) -> int:
    size = size_of(image.source) or unknown
    if size is None:
        return rule.base if image.is_low and isinstance(rule, _Tiles) else rule.most
    return rule(size, image.is_low)


def _rule(model: str) -> Rule:
    bare = model.rpartition("/")[2].lower()
    fitting = [start for start in _RULES if bare.startswith(start)]
    return _RULES[max(fitting, key=len)] if fitting else _UNKNOWN


def _fit(size: Size, side: int) -> Size:
    largest = max(size)
    if largest <= side:
        return size
    return -(-size[0] * side // largest), -(-size[1] * side // largest)


# What models of OpenAI's that draw report for one picture, by quality (their guide: 1024 x 1536 pixels).
_DRAWN = {"low": 408, "medium": 1584}
_DRAWN_AT_MOST = 6240
_DRAWS = ("gpt-image", "chatgpt-image")
# of each view of a picture half done
_PARTIAL = 100
_MAX_PARTIALS = 3


def drawn_tokens(model: str, images: int, quality: object) -> int:
    """Output tokens of pictures to be made; models that are billed by the picture have none."""
    if not model.rpartition("/")[2].lower().startswith(_DRAWS):
        return 0
    each = _DRAWN.get(quality, _DRAWN_AT_MOST) if isinstance(quality, str) else _DRAWN_AT_MOST
    return images * (each + _PARTIAL * _MAX_PARTIALS)
