"""How long a recording may be."""

import base64
import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.estimate.audio import USUAL_BYTES_PER_S, audio_ms
from metering.estimate.media import Recording

DAY_MS = 24 * 3600 * 1000


def wav(seconds: float, rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setframerate(rate)
        written.setnchannels(channels)
        written.setsampwidth(width)
        written.writeframes(b"\0" * int(seconds * rate) * channels * width)
    return file.getvalue()


def header(form: int = 1, channels: int = 1, rate: int = 16_000, claimed: int = 32_000, bits: int = 16) -> bytes:
    what = struct.pack("<HHIIHH", form, channels, rate, claimed, channels * bits // 8, bits)
    return b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + what + b"data"


@pytest.mark.parametrize(
    ("rate", "channels", "width"), [(16_000, 1, 2), (44_100, 2, 2), (8_000, 1, 1), (48_000, 2, 4), (24_000, 1, 3)]
)
def test_a_wav_is_as_long_as_it_plays(rate: int, channels: int, width: int) -> None:
    raw = wav(3, rate, channels, width)
    for source in (raw, base64.b64encode(raw).decode(), "data:audio/wav;base64," + base64.b64encode(raw).decode()):
        assert 3000 <= audio_ms(Recording(source, len(raw))) <= 3010


def test_it_is_not_shorter_for_claiming_to_be() -> None:
    honest, hostile = header(), header(claimed=2**32 - 1)
    assert audio_ms(Recording(hostile, 320_000)) == audio_ms(Recording(honest, 320_000)) == 10_000


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"ID3", b"RIFF\0\0\0\0WAVEfmt ", b"RIFF\0\0\0\0WAVEJUNK" + b"\0" * 40),
        *(header(form=0x11), header(channels=0), header(channels=99), header(rate=0), header(rate=2**31)),
        *(header(bits=0), header(bits=4), header(bits=1000)),
    ],
)
def test_anything_else_is_as_long_as_its_size_allows(head: bytes) -> None:
    assert audio_ms(Recording(head, 5_000)) == 5_000
    assert audio_ms(Recording(head, 8_000), USUAL_BYTES_PER_S) == 1_000
    assert audio_ms(Recording(head, 10**12)) == DAY_MS


@given(st.one_of(st.text(max_size=80), st.binary(max_size=80)), st.integers(0, 10**9))
def test_nothing_breaks_it(source: str | bytes, size: int) -> None:
    assert 0 <= audio_ms(Recording(source, size)) <= DAY_MS
