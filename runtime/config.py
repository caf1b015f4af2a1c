"""Reading the configuration: one YAML file and the environment -> one frozen value, or every mistake at once.

Precedence: environment > file > default. The file may say `${NAME}` or `${NAME:-default}` anywhere; `$${` stands for
`${` itself. A secret may come by a file of its own (`api_key_file`, or `NAME_FILE` for a variable). Unknown keys are
mistakes.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from runtime.secret_files import SecretFiles
from runtime.settings import Config
from runtime.settings.outline import FILE_SUFFIX, nearest, secrets_of, section_at
from runtime.yaml_file import NotSettings, read_yaml

AnyConfig = TypeVar("AnyConfig", bound=BaseModel)


class ConfigError(Exception):
    """What is wrong with a configuration: every mistake, each with its dotted path."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Loaded(Generic[AnyConfig]):
    """A configuration, and the files that it was read from."""

    config: AnyConfig
    files: tuple[Path, ...]


# environment variable -> dotted path; that of a secret may also be named by NAME_FILE
OVERRIDES = {
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
# `$${`, then a variable, then what only begins like one
_VARIABLE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")

_NO_VARIABLE = "${ begins a variable, as in ${NAME} or ${NAME:-default}; write $${ for itself"


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read, fill in, check. Raises ConfigError with all problems; `path` None: the environment alone."""
    return load_as(Config, path, environ)


def load_as(kind: type[AnyConfig], path: Path | None, environ: Mapping[str, str] = os.environ) -> AnyConfig:
    """The same for a command that needs only some sections: the others are not looked at."""
    return load_with_files(kind, path, environ).config


def load_with_files(
    kind: type[AnyConfig], path: Path | None, environ: Mapping[str, str] = os.environ
) -> Loaded[AnyConfig]:
    """The same, and what to look at for changes: the file itself, and those of its secrets."""
    problems: list[str] = []
    secrets = SecretFiles(problems)
    tree = secrets.fill(_merged(kind, path, environ, problems), kind)
    try:
        config = kind.model_validate(tree)
    except ValidationError as error:
        # what is known to be missing is not also told to be wrong, nor the section that needs it
        unset = {problem.split(":")[0].removesuffix(FILE_SUFFIX) for problem in problems}
        unset |= {place.rpartition(".")[0] for place in unset}
        problems += [problem for e in _told(error) if (problem := _problem(e, kind)).split(":")[0] not in unset]
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    return Loaded(config, (*([] if path is None else [path]), *secrets.read))


def _merged(kind: type[BaseModel], path: Path | None, environ: Mapping[str, str], problems: list[str]) -> Any:
    """The file with its variables filled in, and what overrides it."""
    try:
        tree = {} if path is None else read_yaml(path)
    except NotSettings as error:
        raise ConfigError([str(error)]) from None
    if kind is not Config:
        tree = {name: value for name, value in tree.items() if name in kind.model_fields}
    tree = _expand(tree, environ, "", problems)
    for name, dotted in OVERRIDES.items():
        if dotted.split(".")[0] not in kind.model_fields:
            continue
        if environ.get(name):
            value: Any = environ[name]
            _put(tree, dotted, value.replace(" ", "").split(",") if name == "ADMIN_USER_IDS" else value)
        elif environ.get(f"{name}_FILE") and _is_secret(dotted):
            _put(tree, f"{dotted}{FILE_SUFFIX}", environ[f"{name}_FILE"])
    return tree


def _is_secret(dotted: str) -> bool:
    *place, name = dotted.split(".")
    section = section_at(Config, tuple(int(part) if part.isdigit() else part for part in place))
    return section is not None and name in secrets_of(section)


def _expand(value: Any, environ: Mapping[str, str], at: str, problems: list[str]) -> Any:
    """`${NAME}` and `${NAME:-default}` in every string, wherever it stands; what is left empty has no value."""
    if isinstance(value, dict):
        return {str(k): _expand(v, environ, f"{at}.{k}" if at else str(k), problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, environ, f"{at}.{i}", problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        literal, name, default = match.groups()
        if literal is not None:
            return str(literal)
        if name is None:
            problems.append(f"{at}: {_NO_VARIABLE}")
            return ""
        found = environ.get(name) or default
        if found is None:
            problems.append(f"{at}: environment variable {name} is not set")
            return ""
        return str(found)

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
        # the other way to give the same secret does not count beside the environment's
        node.pop(last.removesuffix(FILE_SUFFIX) if last.endswith(FILE_SUFFIX) else f"{last}{FILE_SUFFIX}", None)


# What pydantic says in words of Python's.
_WORDS = {
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of settings",
    "dict_type": "must be a mapping",
}


def _told(error: ValidationError) -> Iterator[Any]:
    """Each mistake once: a list all of whose items are wrong is not also too short."""
    errors = error.errors()
    for each in errors:
        place = each["loc"]
        is_echo = each["type"] == "too_short" and any(
            other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in errors
        )
        if not is_echo:
            yield each


def _problem(error: Any, kind: type[BaseModel]) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = nearest(section_at(kind, error["loc"][:-1]), str(error["loc"][-1]))
        return f"{path}: unknown setting{f'; did you mean {near}?' if near else ''}"
    if error["type"] == "missing":
        variable = next((name for name, dotted in OVERRIDES.items() if f"{dotted}.".startswith(f"{path}.")), None)
        return f"{path}: required{f' (or set {variable})' if variable else ''}"
    if error["type"] == "too_short":
        return f"{path}: must have at least {error['ctx']['min_length']}"
    words = _WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    return f"{path}: {words}"
