"""What an operator says of an LLM server."""

from typing import get_args

import pytest
from pydantic import ValidationError

from metering.kinds import KINDS, OnClientLeft
from runtime.settings.upstream import OnClientLeft as OnClientLeftSetting
from runtime.settings.upstream import Upstream, UpstreamKind


def test_every_kind_can_be_configured_and_is_known() -> None:
    """The room of settings stands below the one of metering, so what it names is described elsewhere."""
    assert get_args(UpstreamKind) == tuple(KINDS)
    assert set(get_args(OnClientLeftSetting)) == {each.value for each in OnClientLeft} | {"default"}


@pytest.mark.parametrize(("name", "value"), [("context_tokens", 0), ("max_drains", -1), ("drain_timeout_s", 0)])
def test_bounds(name: str, value: int) -> None:
    with pytest.raises(ValidationError):
        Upstream.model_validate({"url": "http://h/v1", name: value})
