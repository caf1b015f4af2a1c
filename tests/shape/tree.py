"""The source tree, as the tests of its shape see it."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("proxy", "accounts", "metering", "ledger", "runtime")


def modules() -> list[Path]:
    """Every module of the product, relative to the root."""
    return sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def benchmarks() -> list[Path]:
    """Every module that measures the product, relative to the root."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / "benchmarks").rglob("*.py"))


def parsed(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(), str(module))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A method of a protocol, which has no body: `...`, or a docstring alone."""
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in function.body)


def texts() -> list[Path]:
    """Every text file that is committed or about to be, relative to the root."""
    return [path for path in _files() if _is_text(ROOT / path)]


def _files() -> list[Path]:
    if not (ROOT / ".git").exists():  # an unpacked archive: what is not hidden
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        return sorted(path for path in found if not any(part.startswith((".", "__py")) for part in path.parts))
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return sorted(Path(name) for name in names if name and (ROOT / name).is_file())


def _is_text(path: Path) -> bool:
    return b"\0" not in path.read_bytes()
