"""What the audit says to people."""

from uuid import UUID

from ledger.audit import AuditReport, Violation
from proxy.cli.audit import _text

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
