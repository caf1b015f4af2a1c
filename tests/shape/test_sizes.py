"""Functions fit a screen and files fit a sitting.

60 lines are what a laptop shows without scrolling: who reads a function sees all of it. 330 lines are five such
screens; the largest file that still read as one thing when the limit was chosen had 274. Most are far below both,
and what comes near is better split than argued over.
"""

from tests.shape.tree import ROOT, benchmarks, functions, modules, parsed

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 330


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = []
    for module in modules() + benchmarks():
        for function in functions(parsed(module)):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                too_long.append(f"{module}:{function.lineno} {function.name} has {lines} lines")
    assert too_long == []


def test_no_file_is_longer_than_a_sitting() -> None:
    sizes = {str(module): len((ROOT / module).read_text().splitlines()) for module in modules() + benchmarks()}
    assert {module: lines for module, lines in sizes.items() if lines > MAX_FILE_LINES} == {}
    assert len(sizes) > 50, "the tree was not found"
