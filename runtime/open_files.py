"""How many files and sockets this process may have open.

Systems begin with 1,024, for programs that use select(2); whoever needs more is expected to ask for it.
"""

import resource

# Beside connections: logs, the spool, Postgres, Redis, the event loop's own.
_SPARE = 100


def allow_many_files() -> int:
    """As many as may be asked for without privileges; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS says "unlimited" and takes less
        return soft
    return hard


def is_too_few(files: int, connections: int) -> bool:
    """`files` may be open; `connections` are expected at most."""
    return files != resource.RLIM_INFINITY and files < connections + _SPARE
