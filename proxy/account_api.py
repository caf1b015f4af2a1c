"""The account API, wired: every part of it is made here, and closed in the reverse order."""

from contextlib import AsyncExitStack

from accounts.api.admin import AdminRoutes
from accounts.api.keys import KeyRoutes
from accounts.api.router import Handler, table
from accounts.api.stripe import StripeRoutes
from accounts.api.wallet import WalletRoutes
from accounts.identity import open_verifier
from accounts.key_format import KeyFormat
from accounts.stripe.checkout import Checkout
from accounts.stripe.client import StripeApi
from accounts.stripe.webhook import Webhook
from accounts.user_keys import UserKeys
from accounts.wallet_view import WalletView
from accounts.wallets import Wallets
from proxy.backends import Backends
from runtime.settings import Config, Stripe


async def open_account_api(stack: AsyncExitStack, config: Config, backends: Backends) -> dict[tuple[str, str], Handler]:
    """The routes by method and path; `stack` closes what they need."""
    verifier = await stack.enter_async_context(open_verifier(config.identity))
    key_format = KeyFormat(config.keys.prefix)
    keys = UserKeys(backends.store, backends.mirror, key_format, config.keys.bcrypt_cost)
    groups = (
        KeyRoutes(keys, config.keys),
        WalletRoutes(WalletView(backends.store, backends.redis)),
        AdminRoutes(Wallets(backends.store, backends.mirror)),
        _stripe(stack, config.stripe, backends),
    )
    return table([route for group in groups for route in group.routes()], verifier)


def _stripe(stack: AsyncExitStack, settings: Stripe, backends: Backends) -> StripeRoutes:
    secret_key = settings.secret_key.get_secret_value() if settings.secret_key else None
    checkout = webhook = None
    if secret_key is not None:
        api = StripeApi(secret_key, settings.api_base)
        stack.push_async_callback(api.close)
        checkout = Checkout(backends.store, api, settings)
    if settings.webhook_secrets:
        signing = [secret.get_secret_value() for secret in settings.webhook_secrets]
        webhook = Webhook(backends.store, backends.mirror, signing, secret_key)
    return StripeRoutes(checkout, webhook)
