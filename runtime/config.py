"""Reading the configuration: one YAML file and the environment -> one frozen value, or every mistake at once.

Precedence: environment > file > default. The file may say `${NAME}` or `${NAME:-default}` anywhere. Unknown keys
are mistakes.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from runtime.settings import Config

AnyConfig = TypeVar("AnyConfig", bound=BaseModel)


class ConfigError(Exception):
    """What is wrong with a configuration: every mistake, each with its dotted path."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# environment variable -> dotted path
_OVERRIDES = {
    "FAREBOX_DATABASE_URL": "database.url",
    "FAREBOX_REDIS_URL": "redis.url",
    "FAREBOX_SPOOL_DIR": "spool.dir",
    "FAREBOX_KEY_PEPPER": "keys.pepper",
    "FAREBOX_JWT_SECRET": "identity.jwt_secret",
    "ADMIN_USER_IDS": "identity.admin_user_ids",
    "STRIPE_SECRET_KEY": "stripe.secret_key",
    "STRIPE_WEBHOOK_SECRET": "stripe.webhook_secrets",
    "STRIPE_API_BASE": "stripe.api_base",
    "FAREBOX_UPSTREAM_URL": "upstreams.0.url",
    "FAREBOX_UPSTREAM_API_KEY": "upstreams.0.api_key",
}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read, fill in, check. Raises ConfigError with all problems; `path` None: the environment alone."""
    return load_as(Config, path, environ)


def load_as(kind: type[AnyConfig], path: Path | None, environ: Mapping[str, str] = os.environ) -> AnyConfig:
    """The same for a command that needs only some sections: the others are not looked at."""
    problems: list[str] = []
    tree = _read(path)
    if kind is not Config:
        tree = {name: value for name, value in tree.items() if name in kind.model_fields}
    tree = _expand(tree, environ, "", problems)
    for name, dotted in _OVERRIDES.items():
        if environ.get(name) and dotted.split(".")[0] in kind.model_fields:
            value: Any = environ[name]
            _put(tree, dotted, value.replace(" ", "").split(",") if name == "ADMIN_USER_IDS" else value)
    try:
        config = kind.model_validate(tree)
    except ValidationError as error:
        unset = {problem.split(":")[0] for problem in problems}
        problems += [problem for e in error.errors() if (problem := _problem(e)).split(":")[0] not in unset]
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    return config


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        tree = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not YAML{_where(error)}"]) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError([f"{path}: must be a mapping of settings"])
    return tree


def _where(error: Exception) -> str:
    """The place only: what the parser says of it quotes the text, and the text may be a password."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _expand(value: Any, environ: Mapping[str, str], at: str, problems: list[str]) -> Any:
    """`${NAME}` and `${NAME:-default}` in every string, wherever it stands; what is left empty has no value."""
    if isinstance(value, dict):
        return {k: _expand(v, environ, f"{at}.{k}" if at else str(k), problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, environ, f"{at}.{i}", problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = environ.get(name) or default
        if found is None:
            problems.append(f"{at}: environment variable {name} is not set")
            return ""
        return found

    text = _VARIABLE.sub(fill, value)
    return None if text == "" and value != "" else text


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    node: Any = tree
    *parents, last = dotted.split(".")
    for name, following in zip(parents, [*parents[1:], last], strict=True):
        empty: Any = [] if following.isdigit() else {}
        if name.isdigit():
            if not isinstance(node, list):
                return  # a wrong type is reported by validation
            if not node:
                node.append(empty)
            node = node[int(name)]
        else:
            if node.get(name) is None:
                node[name] = empty
            node = node[name]
        if not isinstance(node, dict | list):
            return
    if isinstance(node, dict):
        node[last] = value


def _problem(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown setting{_did_you_mean(error['loc'])}"
    if error["type"] == "missing":
        variable = next((name for name, dotted in _OVERRIDES.items() if f"{dotted}.".startswith(f"{path}.")), None)
        return f"{path}: required{f' (or set {variable})' if variable else ''}"
    return f"{path}: {error['msg'].removeprefix('Value error, ')}"


def _did_you_mean(location: tuple[str | int, ...]) -> str:
    section: type[BaseModel] = Config
    for part in location[:-1]:
        if isinstance(part, str):
            section = _section_of(section, part)
    near = get_close_matches(str(location[-1]), section.model_fields, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _section_of(section: type[BaseModel], name: str) -> type[BaseModel]:
    kind: Any = section.model_fields[name].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else get_args(kind)[0]
