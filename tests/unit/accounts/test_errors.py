"""What the account API may answer with when it refuses."""

import inspect
import re

import pytest

from accounts import errors
from accounts.errors import AccountsError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_refusal_has_a_status_a_code_and_a_reason(kind: type[AccountsError]) -> None:
    assert issubclass(kind, AccountsError)
    assert 400 <= kind.status < 600
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert kind.__doc__
    assert str(kind("why")) == "why"
