"""Each module can be the first to be imported, without a warning: no circle holds only because of who came before.

One fresh interpreter per room, all at once: between two modules it forgets ours and keeps the libraries, which would
take most of the time.
"""

import os
import subprocess
import sys

import pytest

from tests.shape.tree import ROOMS, ROOT, modules

_FORGET_AND_IMPORT = """
import importlib, sys
rooms, names = sys.argv[1].split(","), sys.argv[2:]
failed = 0
for name in names:
    for loaded in [module for module in sys.modules if module.split(".")[0] in rooms]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed = 1
        print(f"{name}: {type(error).__name__}: {error}")
sys.exit(failed)
"""


def names_of(room: str) -> list[str]:
    """The room's modules by dotted name; a package goes by its own, and `__main__` would run."""
    paths = [path for path in modules() if path.parts[0] == room and path.name != "__main__.py"]
    return [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]


def importing(names: list[str]) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-W", "error", "-c", _FORGET_AND_IMPORT, ",".join(ROOMS), *names]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(argv, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_every_module_imported_on_its_own() -> None:
    running = {room: importing(names_of(room)) for room in ROOMS}
    said = {room: child.communicate()[0] for room, child in running.items()}
    assert said == dict.fromkeys(ROOMS, "")
    assert all(child.returncode == 0 for child in running.values())


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_is_empty(room: str) -> None:
    assert len(names_of(room)) > 5


def test_a_module_that_cannot_be_imported_is_named() -> None:
    said = importing(["runtime.clock", "runtime.no_such_module"]).communicate()[0]
    assert said.startswith("runtime.no_such_module: ModuleNotFoundError") and "clock" not in said
