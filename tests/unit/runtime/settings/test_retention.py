"""How long the usage log is kept."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.settings import Retention


def test_unless_said_everything_is_kept() -> None:
    assert (Retention().usage_months, Retention().archive_dir) == (None, None)


def test_months_and_a_folder() -> None:
    given = Retention.model_validate({"usage_months": 13, "archive_dir": "/var/lib/farebox/archive"})
    assert (given.usage_months, given.archive_dir) == (13, Path("/var/lib/farebox/archive"))


@pytest.mark.parametrize("months", [0, -1, 1.5, 1201, "many"])
def test_what_is_no_number_of_months_is_refused(months: object) -> None:
    with pytest.raises(ValidationError):
        Retention.model_validate({"usage_months": months})


def test_a_folder_for_what_is_never_dropped_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="set usage_months"):
        Retention.model_validate({"archive_dir": "/archive"})
