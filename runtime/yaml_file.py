"""A YAML file as a tree of settings, as strict as money wants it: what stands twice is a mistake."""

from pathlib import Path
from typing import Any

import yaml

_MERGE_TAG = "tag:yaml.org,2002:merge"


class NotSettings(Exception):
    """The file cannot be read as settings; says where, and quotes nothing: the text may be a password."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Raises NotSettings."""
    try:
        tree = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader that refuses more
    except OSError as error:
        raise NotSettings(f"{path}: {error.strerror}") from error
    except _Twice as error:
        raise NotSettings(f"{path}: the same setting stands twice{_where(error)}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NotSettings(f"{path}: not YAML{_where(error)}") from None
    except (
        ValueError,
        TypeError,
        RecursionError,
    ):  # a thirteenth month, an unhashable key, a tower of lists
        raise NotSettings(f"{path}: not YAML") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise NotSettings(f"{path}: must be a mapping of settings")
    return tree


class _Twice(yaml.MarkedYAMLError):
    pass


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys, and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == _MERGE_TAG or not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise _Twice(problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _where(error: Exception) -> str:
    """The place only: what the parser says of it quotes the text."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
