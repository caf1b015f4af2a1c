"""What the ledger process does beside posting: the account side's periodic work, each with its name."""

import asyncio
from collections.abc import Mapping

from accounts.stripe.auto_topup.charger import Charger
from accounts.stripe.auto_topup.wishes import limits_of
from accounts.stripe.pruning import Pruning
from accounts.stripe.webhook import is_live
from ledger import backlog
from ledger.backlog import BacklogWatch
from ledger.retention import Retention
from metering.recovery import INTERVAL_S, Recovery
from metering.scripts import AWAY
from proxy.backends import Backends
from proxy.notices import notice_jobs
from runtime.periodic import Job, every
from runtime.settings import Config, Holds, Stripe


def background_jobs(config: Config, backends: Backends) -> Mapping[str, Job]:
    """Any number of ledger processes may run them at once: each takes its rows under a lock."""
    return {
        "recovery": _recovery(backends),
        "backlog": _backlog(config.holds, backends),
        "retention": Retention(backends.pool, config.retention.usage_months, config.retention.archive_dir).job(),
        **_stripe_jobs(config.stripe, backends),
        **notice_jobs(config.notices, backends),
    }


def _backlog(settings: Holds, backends: Backends) -> Job:
    watch = BacklogWatch(backends.redis, settings.max_unposted_events, backends.shards)

    async def look() -> None:
        await watch.look()

    return every(backlog.INTERVAL_S, look, name="backlog", failures=AWAY)


def _recovery(backends: Backends) -> Job:
    recovery = Recovery(backends.redis, backends.shards)

    async def look() -> None:
        await recovery.look()

    return every(INTERVAL_S, look, name="recovery", failures=AWAY)


def _stripe_jobs(settings: Stripe, backends: Backends) -> dict[str, Job]:
    """Without Stripe there is nothing to charge and nothing to forget."""
    jobs: dict[str, Job] = {}
    if settings.secret_key is not None:
        jobs["auto-topup"] = _auto_topup(settings, settings.secret_key.get_secret_value(), backends)
    if settings.secret_key is not None or settings.webhook_secrets:
        jobs["stripe-pruning"] = Pruning(backends.pool, settings.keep_events_days).job()
    return jobs


def _auto_topup(settings: Stripe, secret_key: str, backends: Backends) -> Job:
    # here, because Stripe's SDK takes a tenth of a second, and its memory, of every start that does without it
    from accounts.stripe.client import StripeApi

    async def run(stop: asyncio.Event) -> None:
        api = StripeApi(secret_key, settings.api_base)
        try:
            charger = Charger(backends.pool, api, is_live(secret_key), limits_of(settings))
            await charger.job(settings.auto_topup.interval_s)(stop)
        finally:
            await api.close()

    return run
