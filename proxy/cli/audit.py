"""`farebox audit`: do the books hold?"""

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import click
from redis.exceptions import RedisError

from accounts.admin_log import Act, record_act
from ledger import audit_redis
from ledger.audit import RULE_NAMES, SHOWN_PER_RULE, AuditReport, audit
from ledger.audit_redis import RedisAudit, RedisReport
from ledger.lives import accept_losses
from ledger.postgres import Store
from proxy.backends import connect_redis, in_short, open_pool
from proxy.cli.options import Moment, config_option, json_option, operator, print_result, progress, run
from runtime.config import load_as
from runtime.postgres import Pool
from runtime.settings import AuditConfig, RedisServer

_VIOLATED = 1
# Longer than a proxy waits: one call looks through thousands of holds and events.
_REDIS_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Checked:
    """The rules of both sides; `not_checked` says what was left out of them, and why."""

    report: AuditReport
    not_checked: tuple[str, ...]


@click.command("audit")
@click.option("--since", type=Moment(), help="Only what is from then on.")
@click.option("--until", type=Moment(), help="Only what is from before then.")
@click.option("--no-redis", is_flag=True, help="Leave out what Redis holds and has not posted yet.")
@click.option("--accept-loss", is_flag=True, help="First note as known that Redis was emptied; the log of acts has it.")
@config_option
@json_option
def audit_books(
    since: datetime | None,
    until: datetime | None,
    no_redis: bool,
    accept_loss: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Check the ledger's invariants. Exit code 0 only if all hold.

    What was posted in the time asked for is checked; whole histories, for each wallet that changed since. Redis is
    checked as it is now.
    """
    settings = load_as(AuditConfig, config)

    async def work() -> _Checked:
        pool = await open_pool(settings.database, "farebox-audit")
        try:
            if accept_loss:
                await _accept_loss(pool)
            with progress("checking", len(RULE_NAMES)) as bar:
                report = await audit(pool, since, until, on_rule=lambda _: bar.update(1))
            return _Checked(report, ()) if no_redis else await _with_redis(report, pool, settings.redis)
        finally:
            await pool.close()

    checked = run(work())
    report = checked.report
    result = {"holds": report.holds, **asdict(report), "not_checked": checked.not_checked}
    print_result(result, as_json, _text(report, checked.not_checked))
    if not report.holds:
        raise SystemExit(_VIOLATED)


async def _accept_loss(pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        if count := await accept_losses(connection):
            act = Act(operator(), "audit.accept_loss", "redis", "redis", None, None, {"times": count}, "")
            await record_act(connection, act)


async def _with_redis(report: AuditReport, pool: Pool, server: RedisServer | None) -> _Checked:
    if server is None:
        return _Checked(report, ("Redis: redis.url is not set",))
    redis = connect_redis(server, _REDIS_TIMEOUT_S)
    try:
        found = await RedisAudit(redis, Store(pool), server.shards).run()
    except (RedisError, OSError) as error:
        return _Checked(report, (f"Redis: it does not answer ({in_short(error)})",))
    finally:
        await redis.aclose()
    return _Checked(_both(report, found), found.left_out)


def _both(report: AuditReport, found: RedisReport) -> AuditReport:
    """Redis' rules after those of Postgres; of each rule all violations are counted and the first are shown."""
    broken = Counter(violation.rule for violation in found.violations)
    shown = [
        violation
        for rule in audit_redis.RULE_NAMES
        for violation in [one for one in found.violations if one.rule == rule][:SHOWN_PER_RULE]
    ]
    rules = report.rules + audit_redis.RULE_NAMES
    return AuditReport(rules, {**report.broken, **broken}, (*report.violations, *shown))


def _text(report: AuditReport, not_checked: tuple[str, ...] = ()) -> str:
    lines = []
    for rule in report.rules:
        count = report.broken.get(rule, 0)
        lines.append(f"{'BROKEN' if count else 'ok    '}  {rule.replace('_', ' ')}{f': {count}' if count else ''}")
    for found in report.violations:
        whom = " ".join(
            f"{what} {id}" for what, id in (("wallet", found.wallet_id), ("request", found.request_id)) if id
        )
        lines.append(f"  {found.rule}: {whom}: {found.detail}")
    lines += [f"NOT CHECKED  {said}" for said in not_checked]
    lines.append("the books are right" if report.holds else "the books are WRONG")
    return "\n".join(lines)


COMMANDS = (audit_books,)
