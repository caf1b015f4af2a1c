from metering.usage import Usage


def test_pictures_and_minutes_are_no_tokens() -> None:
    assert Usage(1, 2, 4, 8, 16, 32, 64, images=128, audio_ms=256).total_tokens == 127


def test_every_token_counts() -> None:
    for name in Usage.__struct_fields__:
        assert Usage(**{name: 1}).total_tokens == (1 if name.endswith("_tokens") else 0)
