import resource
import subprocess
import sys

import pytest

from runtime.open_files import is_too_few

_ASK = """
import resource
from runtime.open_files import allow_many_files
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
print(allow_many_files() == hard == resource.getrlimit(resource.RLIMIT_NOFILE)[0], allow_many_files() == hard)
"""


def test_as_many_as_the_system_lets() -> None:
    said = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True).stdout
    assert said == "True True\n"


@pytest.mark.parametrize(
    ("files", "connections", "too_few"),
    [(1024, 10_000, True), (1024, 1000, True), (20_000, 10_000, False), (resource.RLIM_INFINITY, 10**6, False)],
)
def test_connections_are_files_and_not_all_of_them(files: int, connections: int, too_few: bool) -> None:
    assert is_too_few(files, connections) is too_few
