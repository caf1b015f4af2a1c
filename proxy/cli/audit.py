"""`farebox audit`: do the books hold?"""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from ledger.audit import RULE_NAMES, AuditReport, audit
from proxy.backends import open_pool
from proxy.cli.options import Moment, config_option, json_option, print_result, progress, run
from runtime.config import load_as
from runtime.settings import DatabaseConfig

_VIOLATED = 1


@click.command("audit")
@click.option("--since", type=Moment(), help="Only what changed since then.")
@config_option
@json_option
def audit_books(since: datetime | None, config: Path | None, as_json: bool) -> None:
    """Check the ledger's invariants. Exit code 0 only if all hold."""

    async def work() -> AuditReport:
        pool = await open_pool(load_as(DatabaseConfig, config).database, "farebox-audit")
        try:
            with progress("checking", len(RULE_NAMES)) as bar:
                return await audit(pool, since, on_rule=lambda _: bar.update(1))
        finally:
            await pool.close()

    report = run(work())
    print_result({"holds": report.holds, **asdict(report)}, as_json, _text(report))
    if not report.holds:
        raise SystemExit(_VIOLATED)


def _text(report: AuditReport) -> str:
    lines = []
    for rule in report.rules:
        count = report.broken.get(rule, 0)
        lines.append(f"{'BROKEN' if count else 'ok    '}  {rule.replace('_', ' ')}{f': {count}' if count else ''}")
    for found in report.violations:
        whom = " ".join(
            f"{what} {id}" for what, id in (("wallet", found.wallet_id), ("request", found.request_id)) if id
        )
        lines.append(f"  {found.rule}: {whom}: {found.detail}")
    lines.append("the books are right" if report.holds else "the books are WRONG")
    return "\n".join(lines)


COMMANDS = (audit_books,)
