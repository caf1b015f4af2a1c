"""The notices' periodic work, wired: who watches balances, who decides who is told, and one worker per receiver."""

import asyncio
from collections.abc import Mapping

import jinja2

from accounts.notices.deliveries import EMAIL, Deliveries
from accounts.notices.mail import Templates
from accounts.notices.retry import RetryPolicy
from accounts.notices.smtp import MailSender
from accounts.notices.watch import INTERVAL_S as LOOK_INTERVAL_S
from accounts.notices.watch import BalanceWatch
from accounts.notices.webhook import WebhookSender, open_session
from accounts.notices.worker import INTERVAL_S, Send, Worker
from proxy.backends import Backends
from proxy.process.starting import StartError
from runtime.periodic import Job, every
from runtime.postgres import FAILED, Pool
from runtime.settings import Notices, Smtp, WebhookEndpoint

_TIDY_INTERVAL_S = 60.0
# A mail server takes seconds for one mail when it checks it for spam; more connections than this some refuse.
_MAILS_AT_ONCE = 4
_SECONDS_PER_DAY = 86_400


def notice_jobs(settings: Notices, backends: Backends) -> Mapping[str, Job]:
    """Raises StartError for a template that cannot be read. Without receivers, events are only kept."""
    policy = RetryPolicy(settings.max_attempts, settings.max_age_days * _SECONDS_PER_DAY)
    deliveries = Deliveries(backends.pool, policy)
    jobs = {
        "notices-balances": _balances(settings, backends.pool),
        "notices-dispatch": _dispatch(settings, deliveries),
        "notices-tidy": _tidy(settings, deliveries),
    }
    for endpoint in settings.webhooks:
        jobs[f"notices-{endpoint.channel}"] = _webhook(endpoint, deliveries, policy)
    if settings.smtp is not None:
        jobs[f"notices-{EMAIL}"] = _mail(settings.smtp, _templates(settings), deliveries, policy)
    return jobs


def _balances(settings: Notices, pool: Pool) -> Job:
    watch = BalanceWatch(pool, settings.low_balance)
    return every(LOOK_INTERVAL_S, watch.look, name="notices-balances", failures=FAILED)


def _dispatch(settings: Notices, deliveries: Deliveries) -> Job:
    wanted = [(endpoint.channel, kind) for endpoint in settings.webhooks for kind in endpoint.events]

    async def round() -> float | None:
        decided = await deliveries.dispatch(wanted, settings.smtp is not None, settings.max_mails_per_user_per_day)
        return 0.0 if decided else None

    return every(INTERVAL_S, round, name="notices-dispatch", failures=FAILED)


def _tidy(settings: Notices, deliveries: Deliveries) -> Job:
    async def round() -> float | None:
        return 0.0 if await deliveries.tidy(settings) else None

    return every(_TIDY_INTERVAL_S, round, name="notices-tidy", failures=FAILED)


def _webhook(endpoint: WebhookEndpoint, deliveries: Deliveries, policy: RetryPolicy) -> Job:
    async def run(stop: asyncio.Event) -> None:
        async with open_session() as session:
            sender = WebhookSender(endpoint, session)
            await _deliver(deliveries, policy, endpoint.channel, sender.send, endpoint.max_concurrent)(stop)

    return run


def _mail(smtp: Smtp, templates: Templates, deliveries: Deliveries, policy: RetryPolicy) -> Job:
    sender = MailSender(smtp, templates, deliveries.address)
    return _deliver(deliveries, policy, EMAIL, sender.send, _MAILS_AT_ONCE)


def _deliver(deliveries: Deliveries, policy: RetryPolicy, channel: str, send: Send, concurrent: int) -> Job:
    worker = Worker(deliveries, policy, channel, send, concurrent=concurrent)
    return every(INTERVAL_S, worker.round, name=f"notices-{channel}", failures=FAILED)


def _templates(settings: Notices) -> Templates:
    try:
        return Templates(settings.templates, settings.site_name, settings.site_url)
    except jinja2.TemplateError as error:
        # its message says what is wrong with the text of the template, which is no secret
        raise StartError(f"notices.templates: {type(error).__name__}: {error}") from error
