from typing import Any

import pytest

from runtime.simulator.details import DEFAULT, Details, read_details
from runtime.simulator.errors import Refused
from runtime.simulator.kinds import Kind


def test_without_orders_it_is_the_default() -> None:
    assert read_details({"tokens": 5}) is DEFAULT
    assert read_details({"kind": None}) == DEFAULT


def test_all_fields_are_read() -> None:
    raw: dict[str, Any] = {
        "kind": "vllm",
        "prompt_tokens": 0,
        "cached_tokens": 1,
        "cache_write_tokens": 2,
        "audio_tokens": 3,
        "image_tokens": 4,
        "reasoning_tokens": 5,
        "hidden_tokens": 6,
        "show_reasoning": True,
        "tokens_per_chunk": 7,
        "seconds": 0,
        "usage_type": "duration",
        "finish_reason": "length",
        "keep_alives": 0,
        "line_end": "crlf",
        "data_space": False,
        "async_filter": True,
        "refuse_stream_options": True,
        "message_deltas": 8,
    }
    assert raw.keys() == set(Details.__slots__)
    assert read_details(raw) == Details(**(raw | {"kind": Kind.VLLM, "line_end": b"\r\n"}))


@pytest.mark.parametrize("name", ["kind", "line_end", "usage_type", "finish_reason"])
@pytest.mark.parametrize("value", ["", "other", 1, ["vllm"], {}])
def test_a_choice_is_one_of_its_list(name: str, value: object) -> None:
    with pytest.raises(Refused) as caught:
        read_details({name: value})
    assert caught.value.param == f"simulate.{name}"
