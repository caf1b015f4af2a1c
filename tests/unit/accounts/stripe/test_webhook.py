import pytest

from accounts.stripe.webhook import Mode, is_live, mode_of


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("sk_live_x", "live"),
        ("rk_live_x_y", "live"),
        ("sk_test_x", "test"),
        ("rk_test_x", "test"),
        ("pk_live_x", None),
        ("sk_org_live_x", None),
        ("sk_live", None),
        ("sk_x", None),
        ("", None),
        (None, None),
    ],
)
def test_a_key_says_what_it_is_for(key: str | None, mode: Mode | None) -> None:
    assert mode_of(key) == mode
    assert is_live(key) == {"live": True, "test": False, None: None}[mode]
