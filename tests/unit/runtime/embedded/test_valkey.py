"""What Valkey is told; what it does then is tests/integration/test_embedded_valkey.py."""

from pathlib import Path

import pytest

from runtime.embedded.launch import check_password
from runtime.embedded.valkey import EmbeddedValkey, configuration, quoted
from runtime.processes import STDIN_BYTES_MAX
from tests.support.waiting import names_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain-1_2", '"plain-1_2"'),
        ('a"b\\c', '"a\\x22b\\x5cc"'),
        ("/tmp/with space", '"/tmp/with space"'),
        ("line\nrequirepass none", '"line\\x0arequirepass none"'),
        ("é", '"\\xc3\\xa9"'),
        ("\udcff", '"\\xff"'),
    ],
)
def test_values_cannot_leave_their_quotes(text: str, expected: str) -> None:
    assert quoted(text) == expected


def test_the_journal_is_on_and_only_this_machine_is_served() -> None:
    lines = configuration(7777, "secret", Path("/data")).splitlines()
    assert {
        "bind 127.0.0.1", "port 7777", "protected-mode yes", 'requirepass "secret"', 'dir "/data"',
        "appendonly yes", "appendfsync everysec", 'save ""', "maxmemory-policy noeviction",
    } <= set(lines)  # fmt: skip


def test_the_longest_password_and_a_long_folder_fit_into_what_a_pipe_holds() -> None:
    longest = '"' * 256
    check_password(longest)
    folder = Path("/" + "x" * 255 + "/" + "y" * 255)
    assert len(configuration(65535, longest, folder)) <= STDIN_BYTES_MAX


async def test_an_unusable_password_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="password"):
        await EmbeddedValkey.start(tmp_path / "valkey", "two words")
    assert names_in(tmp_path) == []
