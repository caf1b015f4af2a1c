from pathlib import Path

import pytest

from runtime.yaml_file import NotSettings, read_yaml


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", {}),
        ("# nothing", {}),
        ("a: 1\nb: {c: [x]}\n", {"a": 1, "b": {"c": ["x"]}}),
        ("base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}\n", {"base": {"x": 1, "y": 2}, "own": {"x": 1, "y": 3}}),
        ("a: {x: 1}\nb: {x: 1}\n", {"a": {"x": 1}, "b": {"x": 1}}),
    ],
)
def test_what_is_read(tmp_path: Path, text: str, tree: object) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert read_yaml(path) == tree


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 1\n", "the same setting stands twice at line 2, column 1"),
        ("- x", "must be a mapping of settings"),
        ("word", "must be a mapping of settings"),
        ("a: [word", "not YAML at line 1, column 9"),
        ("a: !!python/object:os.system word", "not YAML at line 1, column 4"),
        ("? [word]\n: 1", "not YAML at line 1, column 3"),
        ("a: " + "[" * 5000, "not YAML"),
    ],
)
def test_what_is_refused_is_told_by_its_place_and_not_quoted(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(NotSettings) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path}: {said}"
