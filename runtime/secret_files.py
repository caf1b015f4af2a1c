"""Secrets that are mounted as files: `api_key_file: /run/secrets/key` stands for `api_key` with what is in the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.settings.outline import FILE_SUFFIX, Section, is_list, secrets_of, section_in, settings_of

# Room for a few keys; what is larger is another file than was meant.
_MAX_BYTES = 64 << 10

Tree = dict[str, Any]


class SecretFiles:
    """Fills a tree of settings. `read`: the files that it looked at; `problems`: what is wrong, and no content."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        self.read: list[Path] = []

    def fill(self, tree: Tree, section: Section, at: str = "") -> Tree:
        """The tree with each `*_file` of a secret replaced; what has another shape is left to validation."""
        filled = {name: self._below(value, section, name, _join(at, name)) for name, value in tree.items()}
        for name, field in secrets_of(section).items():
            given = filled.get(f"{name}{FILE_SUFFIX}")
            if f"{name}{FILE_SUFFIX}" in filled:
                del filled[f"{name}{FILE_SUFFIX}"]
            if given is None:
                continue
            where = _join(at, f"{name}{FILE_SUFFIX}")
            if filled.get(name) is not None:
                self.problems.append(f"{where}: {name} is there too; only one of them can be meant")
                continue
            content = self._content(given, where)
            # what could not be read is told of once, by the file's own line: nothing more is said of the setting
            filled[name] = content.split() if content is not None and is_list(field.annotation) else content
        return filled

    def _below(self, value: Any, section: Section, name: str, at: str) -> Any:
        field = settings_of(section).get(name)
        inner = None if field is None else section_in(field.annotation)
        if inner is None:
            return value
        return _each(value, at, lambda tree, where: self.fill(tree, inner, where))

    def _content(self, given: Any, where: str) -> str | None:
        if not isinstance(given, str):
            self.problems.append(f"{where}: must be the path of a file")
            return None
        path = Path(given)
        self.read.append(path)
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
            text = raw.decode()
        except OSError as error:
            self.problems.append(f"{where}: {path}: {error.strerror}")
        except ValueError:  # also of a path with a NUL
            self.problems.append(f"{where}: {path}: not text")
        else:
            # the line end that every editor puts there is no part of a secret
            secret = text.rstrip("\r\n")
            if secret and len(raw) <= _MAX_BYTES:
                return secret
            self.problems.append(f"{where}: {path}: {'empty' if not secret else 'too large for a secret'}")
        return None


def _each(value: Any, at: str, fill: Callable[[Tree, str], Tree]) -> Any:
    if isinstance(value, dict):
        return fill(value, at)
    if isinstance(value, list):
        return [fill(item, f"{at}.{i}") if isinstance(item, dict) else item for i, item in enumerate(value)]
    return value


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
