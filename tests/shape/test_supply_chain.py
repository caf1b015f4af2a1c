"""Nobody changes what Farebox brings along without having looked at it."""

import hashlib
import re
import tomllib

from tests.shape.tree import ROOT

REVIEW = tomllib.loads((ROOT / "deploy" / "reviewed.toml").read_text())


def test_the_locks_are_as_they_were_when_they_were_last_looked_at() -> None:
    now = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in REVIEW["sha256"]}
    assert now == REVIEW["sha256"], "look at what changed, then run `python3 scripts/supply_chain.py reviewed`"
    assert {"requirements.lock", "requirements-server.lock"} <= now.keys()


def test_what_the_image_takes_out_again_is_in_its_lock() -> None:
    """The list of what is in the image leaves the same out (scripts/supply_chain.py reads it from the Dockerfile)."""
    (names,) = re.findall(r'"uninstall", "--yes", \\\n(.*?)\]', (ROOT / "Dockerfile").read_text(), re.DOTALL)
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-server.lock").read_text(), re.MULTILINE)
    taken_out = re.findall(r'"([^"]+)"', names)
    assert taken_out
    assert set(taken_out) <= set(locked)
