"""The arithmetic of a stop holds what the parts really allow themselves."""

from ledger import process
from metering import settling
from proxy.process import stopping
from proxy.process.stopping import AFTER_STREAMS_S, LONGEST_LEDGER_STOP_S, longest_stop_s, longest_supervised_stop_s
from proxy.telemetry import tracing
from proxy.upstream import pool
from runtime import postgres, spool
from runtime.http import server
from runtime.settings import Listen


def test_each_step_is_as_long_as_whoever_takes_it_says() -> None:
    assert stopping.LAST_WRITES_S == 2 * server._LAST_WRITES_S
    assert stopping.UPSTREAM_CLOSE_S == pool._CLOSE_WAIT_S
    assert stopping.RESEND_S == settling._SEND_TIMEOUT_S
    assert stopping.SPOOL_CLOSE_S == spool._CLOSE_TIMEOUT_S
    assert stopping.POSTGRES_CLOSE_S == postgres.CLOSE_TIMEOUT_S
    assert stopping.TRACES_S == tracing._EXPORT_TIMEOUT_S
    assert stopping.LEDGER_BATCH_S == process.STOP_TIMEOUT_S


def test_whoever_would_kill_it_waits_for_all_of_them() -> None:
    listen = Listen(shutdown_delay_s=5, shutdown_timeout_s=100)
    assert longest_stop_s(listen) == 105 + AFTER_STREAMS_S
    assert longest_supervised_stop_s(listen) > longest_stop_s(listen)
    hasty = Listen(shutdown_delay_s=0, shutdown_timeout_s=0.1)
    assert longest_supervised_stop_s(hasty) > max(longest_stop_s(hasty), LONGEST_LEDGER_STOP_S)
