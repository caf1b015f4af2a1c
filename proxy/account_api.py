"""The account API, wired: every part of it is made here, and closed in the reverse order."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from accounts.admin_log import AdminLog
from accounts.api.admin import BASE, AdminRoutes
from accounts.api.admin_events import AdminEventRoutes
from accounts.api.admin_views import AdminViewRoutes
from accounts.api.description import with_description
from accounts.api.downloads import Downloads
from accounts.api.history import HistoryRoutes
from accounts.api.keys import KeyRoutes
from accounts.api.notifications import NotificationRoutes
from accounts.api.prices import PriceRoutes
from accounts.api.router import Handler, Route, Verifier, table
from accounts.api.stripe import StripeRoutes
from accounts.api.wallet import WalletRoutes
from accounts.identity import open_verifier
from accounts.key_acts import KeyActs
from accounts.notices.preferences import Preferences, RememberingVerifier
from accounts.notices.records import Events
from accounts.prices import Prices
from accounts.stripe.auto_topup.plans import Plans
from accounts.stripe.auto_topup.wishes import limits_of
from accounts.stripe.checkout import Checkout
from accounts.stripe.webhook import Webhook, is_live
from accounts.transactions import Transactions
from accounts.usage import Usage
from accounts.user_keys import UserKeys
from accounts.users import Users
from accounts.wallet_view import WalletView
from accounts.wallets import Wallets
from ledger.money import from_decimal
from proxy.backends import Backends
from runtime.settings import Config, Notices, Stripe
from runtime.version import farebox_version


@dataclass(frozen=True, slots=True)
class AccountTables:
    """The routes by method and path; `admin` are those of a port of their own, and none where there is no such port.

    Unless they were asked for, administrators' routes are not at the public one.
    """

    public: dict[tuple[str, str], Handler]
    admin: dict[tuple[str, str], Handler]


async def open_account_api(stack: AsyncExitStack, config: Config, backends: Backends) -> AccountTables:
    """`stack` closes what the routes need. Each port describes its own."""
    verifier = _remembering(await stack.enter_async_context(open_verifier(config.identity)), config.notices, backends)
    routes = account_routes(stack, config, backends)
    if config.listen.admin_on_public_port:
        return AccountTables(_described(routes, verifier), {})
    admin = [route for route in routes if route.path.startswith(f"{BASE}/")]
    public = [route for route in routes if route not in admin]
    return AccountTables(_described(public, verifier), _described(admin, verifier) if config.listen.admin else {})


def _described(routes: list[Route], verifier: Verifier) -> dict[tuple[str, str], Handler]:
    return table(with_description(routes, farebox_version()), verifier)


def account_routes(stack: AsyncExitStack, config: Config, backends: Backends) -> list[Route]:
    """Every route there is with this configuration; `stack` closes what they need."""
    keys = UserKeys(backends.store, backends.mirror, config.keys)
    view = WalletView(backends.store, backends.redis, backends.shards)
    groups = (
        KeyRoutes(keys, config.keys),
        WalletRoutes(view),
        HistoryRoutes(Transactions(backends.pool), Usage(backends.pool), Downloads()),
        AdminRoutes(Wallets(backends.store, backends.mirror), KeyActs(backends.pool, backends.mirror)),
        AdminViewRoutes(Users(backends.pool), view, AdminLog(backends.pool)),
        PriceRoutes(Prices(backends.pool)),
        _notifications(config.notices, backends),
        AdminEventRoutes(Events(backends.pool)),
        _stripe(stack, config.stripe, backends),
    )
    return [route for group in groups for route in group.routes()]


def _remembering(verifier: Verifier, settings: Notices, backends: Backends) -> Verifier:
    """Where no mails are sent, nobody's address is kept."""
    return verifier if settings.smtp is None else RememberingVerifier(verifier, Preferences(backends.pool))


def _notifications(settings: Notices, backends: Backends) -> NotificationRoutes:
    has_mail = settings.smtp is not None
    return NotificationRoutes(Preferences(backends.pool), from_decimal(settings.low_balance), has_mail)


def _stripe(stack: AsyncExitStack, settings: Stripe, backends: Backends) -> StripeRoutes:
    secret_key = settings.secret_key.get_secret_value() if settings.secret_key else None
    checkout = plans = webhook = None
    if secret_key is not None:
        # here, because Stripe's SDK takes a tenth of a second, and its memory, of every start that does without it
        from accounts.stripe.client import StripeApi

        api = StripeApi(secret_key, settings.api_base)
        stack.push_async_callback(api.close)
        checkout = Checkout(backends.store, api, settings)
        plans = Plans(backends.store, api, is_live(secret_key), limits_of(settings))
    if settings.webhook_secrets:
        signing = [secret.get_secret_value() for secret in settings.webhook_secrets]
        webhook = Webhook(backends.store, backends.mirror, signing, secret_key)
    return StripeRoutes(checkout, plans, webhook)
