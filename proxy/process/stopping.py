"""How long a process takes to stop, at most, step by step: who would kill it waits for longer than that.

Without trouble a stop takes as long as the streams that run, and a moment. The rest of these bounds is for a Redis, a
Postgres or a disk that does not answer any more.
"""

from runtime.settings import Listen

# Bytes of cut answers on their way, before and after their connections are aborted.
LAST_WRITES_S = 2.0
# Requests that ended and whose tokens are still being counted.
COUNT_S = 6.0
# Connections to LLM servers that take their time to close.
UPSTREAM_CLOSE_S = 1.0
# Settlements on their way to Redis, or to the spool.
SETTLE_S = 10.0
# What a Redis that has just died had acknowledged is sent again.
RESEND_S = 5.0
SPOOL_CLOSE_S = 5.0
POSTGRES_CLOSE_S = 3.0
# Spans on their way to a collector that does not answer.
TRACES_S = 2.0
AFTER_STREAMS_S = sum(
    (LAST_WRITES_S, COUNT_S, UPSTREAM_CLOSE_S, SETTLE_S, RESEND_S, SPOOL_CLOSE_S, POSTGRES_CLOSE_S, TRACES_S)
)
# A ledger process finishes the batch in hand, then closes its connections.
LEDGER_BATCH_S = 20.0
LONGEST_LEDGER_STOP_S = LEDGER_BATCH_S + POSTGRES_CLOSE_S + 1.0
# For a supervisor to notice that the last of its workers has ended, and to end itself.
_NOTICE_S = 1.0


def longest_stop_s(listen: Listen) -> float:
    """Of one serving process, from SIGTERM to its end."""
    return listen.shutdown_delay_s + listen.shutdown_timeout_s + AFTER_STREAMS_S


def longest_supervised_stop_s(listen: Listen) -> float:
    """Of `farebox serve`, however many workers it has: it may be killed after that."""
    return max(longest_stop_s(listen), LONGEST_LEDGER_STOP_S) + _NOTICE_S
