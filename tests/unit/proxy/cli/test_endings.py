"""What an operator can mend is told in a line; a fault of ours is not hidden."""

import asyncpg
import pytest
from redis.exceptions import ConnectionError as RedisGone

from accounts.errors import KeyNotFound
from ledger.errors import InvalidAmount
from ledger.migrate import MigrationError
from proxy.cli.endings import Ending, ending_of
from proxy.process.starting import StartError
from proxy.reconcile.errors import ReconcileError
from runtime.config import ConfigError
from runtime.embedded.errors import EmbeddedServerError


@pytest.mark.parametrize(
    "kind", [StartError, EmbeddedServerError, MigrationError, InvalidAmount, KeyNotFound, ReconcileError]
)
def test_what_is_in_our_words_is_said_as_it_is(kind: type[Exception]) -> None:
    assert ending_of(kind("words")) == Ending(1, ("farebox: words",))


@pytest.mark.parametrize("kind", [ConnectionRefusedError, TimeoutError, asyncpg.UndefinedTableError, RedisGone])
def test_what_a_server_said_is_said_with_its_kind(kind: type[Exception]) -> None:
    assert ending_of(kind("words")) == Ending(1, (f"farebox: {kind.__name__}: words",))


def test_every_mistake_in_a_configuration_gets_its_line() -> None:
    assert ending_of(ConfigError(["a: wrong", "b: missing"])) == Ending(2, ("config: a: wrong", "config: b: missing"))


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyError, AssertionError])
def test_a_fault_of_ours_has_no_ending(kind: type[Exception]) -> None:
    assert ending_of(kind("words")) is None
