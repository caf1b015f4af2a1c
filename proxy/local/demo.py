"""What a local installation begins with: prices, a user with a key and ten dollars, an admin; and how to call it."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import orjson

from accounts.identity import mint_token
from accounts.key_format import KeyFormat
from accounts.keys import Keys, NewKey
from accounts.prices import STARTING_PRICES, offer
from accounts.wallets import Wallets
from ledger.money import NANOS_PER_DOLLAR, Nanos
from proxy.backends import Backends
from proxy.local.folder import DataFolder, Secrets
from proxy.local.servers import Servers
from runtime.clock import wall_ms
from runtime.settings import AccountsConfig

DEMO_FILE = "demo.json"
# Dollars per 1,000 tokens for the models of somebody's own server: the price of pipilot-1-chat.
DEMO_PRICE = STARTING_PRICES["pipilot-1-chat"]
_BONUS = Nanos(10 * NANOS_PER_DOLLAR)
# A demo is tried with many requests at once; the limits of a real key are 60 and 1,000 unless chosen.
_REQUESTS_PER_MINUTE = 6_000
_REQUESTS_PER_DAY = 1_000_000
_TOKEN_TTL = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Demo:
    """Everything that somebody needs to call the installation; kept in `demo.json`, readable by its owner only."""

    base_url: str
    api_key: str
    key_id: str
    user_id: str
    user_token: str
    admin_id: str
    admin_token: str
    database_url: str
    redis_url: str
    models: list[str]
    stripe_webhook_secret: str

    def write(self, folder: DataFolder) -> None:
        folder.write_private(DEMO_FILE, orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))


async def offer_prices(backends: Backends, models: list[str]) -> None:
    """The starting prices, and the demo price for what else the upstream serves."""
    prices: dict[str, Decimal] = dict.fromkeys(models, DEMO_PRICE)
    await offer(backends.pool, prices | STARTING_PRICES)


async def key_for_demo(
    backends: Backends, config: AccountsConfig, folder: DataFolder, secrets: Secrets
) -> tuple[str, UUID]:
    """The key of the last start if it is still good, else a new one; the user's ten dollars come with the first."""
    user_id = UUID(secrets.user_id)
    keys = Keys(backends.pool, backends.mirror, KeyFormat(config.keys.prefix), config.keys.bcrypt_cost)
    known = await keys.of_user(user_id)
    kept = folder.read_json(DEMO_FILE) or {}
    if any(str(key.id) == kept.get("key_id") and key.is_active for key in known):
        return kept["api_key"], UUID(kept["key_id"])
    if not known:
        await Wallets(backends.store, backends.mirror).give_bonus(user_id, _BONUS, "welcome to Farebox", "farebox up")
    wanted = NewKey(user_id, "demo", _REQUESTS_PER_MINUTE, _REQUESTS_PER_DAY)
    key, row = await keys.create(wanted)
    return key, row.id


def describe(base_url: str, key: str, key_id: UUID, secrets: Secrets, servers: Servers, models: list[str]) -> Demo:
    now_ms = wall_ms()
    return Demo(
        base_url=base_url,
        api_key=key,
        key_id=str(key_id),
        user_id=secrets.user_id,
        user_token=mint_token(UUID(secrets.user_id), secrets.jwt_secret, now_ms=now_ms, ttl=_TOKEN_TTL),
        admin_id=secrets.admin_id,
        admin_token=mint_token(UUID(secrets.admin_id), secrets.jwt_secret, now_ms=now_ms, ttl=_TOKEN_TTL),
        database_url=servers.database_url,
        redis_url=servers.redis_url,
        models=models,
        stripe_webhook_secret=secrets.stripe_webhook_secret,
    )


def how_to_call(demo: Demo) -> str:
    """A command to copy."""
    body = orjson.dumps(
        {"model": demo.models[0], "stream": True, "messages": [{"role": "user", "content": "Say hello"}]}
    ).decode()
    return (
        f"curl -N {demo.base_url}/v1/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {demo.api_key}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
