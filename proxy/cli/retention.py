"""`farebox retention`: months of the usage log, made ahead, archived and dropped."""

from dataclasses import asdict
from pathlib import Path

import click

from ledger.postgres import Store
from ledger.process import PARTITION_MONTHS_AHEAD
from ledger.retention import Month, Retention, Retired
from proxy.backends import open_pool
from proxy.cli.options import config_option, json_option, print_result, progress, run
from runtime.config import load_as
from runtime.settings import RetentionConfig


@click.command("retention")
@click.option("--dry-run", is_flag=True, help="Say which months would be dropped, and change nothing.")
@config_option
@json_option
def retain(dry_run: bool, config: Path | None, as_json: bool) -> None:
    """Do now what the ledger process does by itself: make the coming months' partitions, drop what is due.

    Months older than retention.usage_months are written to retention.archive_dir, where that is set, and dropped.
    """
    settings = load_as(RetentionConfig, config)

    async def work() -> tuple[int, list[Month], list[Retired]]:
        pool = await open_pool(settings.database, "farebox-retention")
        try:
            kept = settings.retention
            retention = Retention(pool, kept.usage_months, kept.archive_dir)
            due = await retention.due()
            if dry_run:
                return 0, due, []
            made = await Store(pool).ensure_partitions(PARTITION_MONTHS_AHEAD)
            with progress("dropping", len(due)) as bar:
                return made, due, await retention.run(lambda _: bar.update(1))
        finally:
            await pool.close()

    made, due, retired = run(work())
    result = {"partitions_made": made, "due": list(map(asdict, due)), "dropped": list(map(asdict, retired))}
    print_result(result, as_json, _text(settings.retention.usage_months, due if dry_run else None, retired))


def _text(usage_months: int | None, would_drop: list[Month] | None, retired: list[Retired]) -> str:
    if usage_months is None:
        return "everything is kept: retention.usage_months is not set"
    if would_drop is not None:
        lines = [
            f"would drop {found.month:%Y-%m}{'' if found.about is None else f': about {found.about} requests'}"
            for found in would_drop
        ]
    else:
        lines = [
            f"dropped {done.month:%Y-%m}: {done.requests} requests{f', in {done.archive.name}' if done.archive else ''}"
            for done in retired
        ]
    return "\n".join(lines) or f"nothing is older than {usage_months} months"


COMMANDS = (retain,)
