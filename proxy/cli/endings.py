"""What is said of an error that ends a command, and with which exit code."""

from dataclasses import dataclass

from redis.exceptions import RedisError

from accounts.errors import AccountsError
from ledger.errors import LedgerError
from ledger.migrate import MigrationError
from proxy.process.starting import StartError
from proxy.reconcile.errors import ReconcileError
from runtime.config import ConfigError
from runtime.embedded.errors import EmbeddedServerError
from runtime.postgres import FAILED as POSTGRES_FAILED

FAILED = 1
WRONG_USAGE = 2
_IN_OUR_WORDS = (StartError, EmbeddedServerError, MigrationError, LedgerError, AccountsError, ReconcileError)
_SERVERS_FAILED: tuple[type[BaseException], ...] = (*POSTGRES_FAILED, RedisError)


@dataclass(frozen=True, slots=True)
class Ending:
    exit_code: int
    lines: tuple[str, ...]


def ending_of(error: Exception) -> Ending | None:
    """None for a fault of ours, which is not to be hidden."""
    if isinstance(error, ConfigError):
        return Ending(WRONG_USAGE, tuple(f"config: {problem}" for problem in error.problems))
    if isinstance(error, _IN_OUR_WORDS):
        return Ending(FAILED, (f"farebox: {error}",))
    if isinstance(error, _SERVERS_FAILED):
        return Ending(FAILED, (f"farebox: {type(error).__name__}: {error}",))
    return None
