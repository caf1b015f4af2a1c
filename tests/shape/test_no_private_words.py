"""Nothing that is committed names the machine it was written on, or where packages came from."""

import re

import pytest

from tests.shape.tree import ROOT, texts

# Put together here, so that this file is not the first to break its own rule.
_HOSTS = [
    ".".join(name) for name in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("deb", "debian", "org"))
]
_PLACES = ["work", "root"]
# A path that begins there, not one that merely has such a folder somewhere inside.
PRIVATE = re.compile("|".join([*(rf"(?<![\w.~*{{}}-])/{place}/" for place in _PLACES), *map(re.escape, _HOSTS)]))


def test_no_file_names_a_private_place() -> None:
    found = []
    for path in texts():
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), start=1):
            if match := PRIVATE.search(line):
                found.append(f"{path}:{number}: {match.group()}")
    assert found == []


@pytest.mark.parametrize("words", [f"see /{_PLACES[0]}/main", f"cd '/{_PLACES[1]}/x'", f"https://files.{_HOSTS[1]}/a"])
def test_the_rule_finds_what_it_is_for(words: str) -> None:
    assert PRIVATE.search(words)


@pytest.mark.parametrize("words", [f"src/{_PLACES[0]}/main", f"/{_PLACES[0]}s/", f"/{_PLACES[1]}less", "npm install"])
def test_the_rule_leaves_the_rest_alone(words: str) -> None:
    assert not PRIVATE.search(words)
