"""What the audit says to people."""

from uuid import UUID

from ledger.audit import SHOWN_PER_RULE, AuditReport, Violation
from ledger.audit_redis import HELD, RedisReport
from ledger.audit_redis import RULE_NAMES as REDIS_RULES
from proxy.cli.audit import _both, _text

WALLET, REQUEST = UUID(int=1), UUID(int=2)
RULES = ("balance_is_sum_of_transactions", "usage_posted_once")


def test_books_that_are_right() -> None:
    text = _text(AuditReport(RULES, {}, ()))
    assert text.splitlines() == [
        "ok      balance is sum of transactions",
        "ok      usage posted once",
        "the books are right",
    ]


def test_books_that_are_wrong_name_whom_it_concerns() -> None:
    found = (Violation(RULES[1], WALLET, REQUEST, "twice"), Violation(RULES[1], WALLET, None, "once too often"))
    text = _text(AuditReport(RULES, {RULES[1]: 2}, found))
    assert text.splitlines() == [
        "ok      balance is sum of transactions",
        "BROKEN  usage posted once: 2",
        f"  usage_posted_once: wallet {WALLET} request {REQUEST}: twice",
        f"  usage_posted_once: wallet {WALLET}: once too often",
        "the books are WRONG",
    ]


def test_what_was_not_checked_is_said_before_the_verdict() -> None:
    text = _text(AuditReport(RULES[:1], {}, ()), ("Redis: it does not answer (ConnectionError)",))
    assert text.splitlines()[1:] == ["NOT CHECKED  Redis: it does not answer (ConnectionError)", "the books are right"]


def test_what_redis_breaks_is_counted_whole_and_shown_in_part() -> None:
    found = tuple(Violation(HELD, UUID(int=n), None, "held 1") for n in range(SHOWN_PER_RULE + 5))
    other = Violation(RULES[0], WALLET, None, "bad")
    both = _both(AuditReport(RULES, {RULES[0]: 1}, (other,)), RedisReport(found))
    assert both.rules == (*RULES, *REDIS_RULES)
    assert both.broken == {RULES[0]: 1, HELD: SHOWN_PER_RULE + 5}
    assert both.violations == (other, *found[:SHOWN_PER_RULE])
    assert _both(AuditReport(RULES), RedisReport()).holds
