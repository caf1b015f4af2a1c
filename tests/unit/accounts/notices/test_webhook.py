"""What an endpoint's status means. Posts to a real server: tests/integration/test_webhooks.py."""

import pytest

from accounts.notices import webhook
from accounts.notices.worker import Undelivered


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success(status: int) -> None:
    webhook._judge(status, "")


@pytest.mark.parametrize(
    ("status", "retry_after", "is_final", "asked_s"),
    [
        (199, "", False, None),
        (301, "", False, None),
        (400, "", False, None),
        (404, "", False, None),
        (410, "", True, None),
        (429, "30", False, 30.0),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", False, None),
        (503, "9" * 7, False, None),
        (503, "٣", False, None),
    ],
)
def test_failure(status: int, retry_after: str, is_final: bool, asked_s: float | None) -> None:
    with pytest.raises(Undelivered) as caught:
        webhook._judge(status, retry_after)
    assert (caught.value.reason, caught.value.is_final, caught.value.asked_s) == (f"status_{status}", is_final, asked_s)
