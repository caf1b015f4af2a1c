"""`farebox reconcile --stripe`: Stripe's payments against what was credited."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from accounts.errors import NotConfigured
from accounts.stripe.client import StripeApi
from accounts.stripe.comparison import Difference
from accounts.stripe.reconciling import ON_ITS_WAY, Comparison, StripeReconciler
from ledger.money import format_dollars
from proxy.backends import open_pool
from proxy.cli.options import json_dollars, print_result, run
from runtime.clock import wall_ms
from runtime.config import load_as
from runtime.settings import StripeConfig

_DIFFERS = 1
_DEFAULT_TIME = timedelta(days=30)
_SHOWN = 100
_WORDS = {
    "missing_here": "paid, not credited",
    "missing_there": "credited, not paid",
    "amount": "another amount",
    "refund": "another refund",
    "history": "books disagree",
}


def reconcile_stripe(since: datetime | None, until: datetime | None, config: Path | None, as_json: bool) -> None:
    """Exit code 1 where anything differs."""
    now = datetime.fromtimestamp(wall_ms() / 1000, UTC)
    end = until or now - ON_ITS_WAY
    begin = since or end - _DEFAULT_TIME
    if begin >= end:
        raise click.BadParameter("must be before --until, which is ten minutes ago if not given", param_hint="--since")
    found = run(_compare(begin, end, now, config))
    print_result(_json(begin, end, found), as_json, _text(begin, end, found))
    if found.differences:
        raise SystemExit(_DIFFERS)


async def _compare(begin: datetime, end: datetime, now: datetime, config: Path | None) -> Comparison:
    settings = load_as(StripeConfig, config)
    if settings.stripe.secret_key is None:
        raise NotConfigured("stripe.secret_key is not set")
    pool = await open_pool(settings.database, "farebox-reconcile")
    api = StripeApi(settings.stripe.secret_key.get_secret_value(), settings.stripe.api_base)
    try:
        return await StripeReconciler(pool, api, now).compare(begin, end)
    finally:
        await api.close()
        await pool.close()


def _json(begin: datetime, end: datetime, found: Comparison) -> dict[str, Any]:
    return {
        "agrees": not found.differences,
        "since": begin,
        "until": end,
        "payments": found.payments,
        "paid": json_dollars(found.paid_nanos),
        "looked_at": found.looked_at,
        "credited": json_dollars(found.credited_nanos),
        "differences": [_difference_json(one) for one in found.differences],
    }


def _difference_json(one: Difference) -> dict[str, Any]:
    amounts = {"at_stripe": one.there_nanos, "here": one.here_nanos}
    return {
        "kind": one.kind,
        "payment": one.payment,
        "user_id": one.user_id,
        **{name: None if nanos is None else json_dollars(nanos) for name, nanos in amounts.items()},
    }


def _text(begin: datetime, end: datetime, found: Comparison) -> str:
    lines = [
        f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC",
        f"at Stripe  {found.payments} payments of ours, ${format_dollars(found.paid_nanos)}",
        f"here       {found.looked_at} payments looked at, ${format_dollars(found.credited_nanos)} credited",
    ]
    lines += [_line(one) for one in found.differences[:_SHOWN]]
    if len(found.differences) > _SHOWN:
        lines.append(f"… and {len(found.differences) - _SHOWN} more: --json has them all")
    lines.append("they agree" if not found.differences else f"they DIFFER in {len(found.differences)}")
    return "\n".join(lines)


def _line(one: Difference) -> str:
    there, here = (
        "nothing" if nanos is None else f"${format_dollars(nanos)}" for nanos in (one.there_nanos, one.here_nanos)
    )
    return f"  {_WORDS[one.kind]:<18}  {one.payment}  at Stripe {there}, here {here}  user {one.user_id or 'unknown'}"
