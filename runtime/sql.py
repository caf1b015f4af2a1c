"""SQL lives in `.sql` files beside the code that uses it; this cuts such a file into its named queries.

A file reads `-- name: post_usage`, a line that says what the query is for, then the query, up to the next name.
"""

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)\n(?:-- \S.*\n)(?:--.*\n)*", re.MULTILINE)


def split_queries(text: str) -> Mapping[str, str]:
    """Name -> query. Raises ValueError for a name given twice or text before the first name."""
    head, *parts = _NAME.split(text)
    if any(line and not line.startswith("--") for line in head.splitlines()):
        raise ValueError("text before the first `-- name:`")
    names, queries = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"a name is given twice: {sorted(names)}")
    return MappingProxyType({name: query.strip() for name, query in zip(names, queries, strict=True)})


def load_queries(package: str, path: str) -> Mapping[str, str]:
    """The named queries of a file in a package's data: `load_queries("ledger", "sql/queries.sql")`."""
    return split_queries((resources.files(package) / path).read_text(encoding="utf-8"))
