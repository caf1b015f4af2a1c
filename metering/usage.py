"""What an answer used, in buckets that do not overlap, which is what prices apply to."""

from msgspec import Struct


class Usage(Struct, frozen=True):
    """Tokens, and what is not counted in tokens: images made or read, and milliseconds of audio.

    `input` excludes cached reads, cache writes and audio; `output` excludes reasoning and audio.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    images: int = 0
    audio_ms: int = 0

    @property
    def total_tokens(self) -> int:
        return (
            self.input_tokens
            + self.cached_input_tokens
            + self.cache_write_tokens
            + self.output_tokens
            + self.reasoning_tokens
            + self.audio_input_tokens
            + self.audio_output_tokens
        )
