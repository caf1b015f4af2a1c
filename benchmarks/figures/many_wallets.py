"""A million keys of a hundred thousand wallets, all of them at work in turn, against a thousand of them."""

from redis.asyncio import Redis

from benchmarks import stack
from benchmarks.figure import Alone, Figure, Values, ratio
from benchmarks.populate import populate, verify_beforehand
from benchmarks.population import KEYS_PER_WALLET
from benchmarks.stack import Contender
from benchmarks.stage import CONNECTIONS, Stage

WALLETS, QUICK_WALLETS = 100_000, 2_000
FEW = 1_000
SOME, ALL, COLD = "1,000 wallets", "all wallets", "all wallets, the first time"
CPU = Figure(
    "CPU per plain request, by the wallets at work",
    "µs",
    picture="wallets",
    base=SOME,
    goals=(ratio(SOME, must=1.1, aim=1.0, row=ALL),),
)
PER_S = Figure("Plain requests, by the wallets at work", "requests/s", "wallets", base=SOME, more_is_better=True)
# What the many are measured with, after each has been asked for once.
REQUESTS = 20_000


async def measure(stage: Stage) -> Values:
    on, wallets = stage.ground, stage.size.pick(WALLETS, QUICK_WALLETS)
    is_cold = await populate(on.database, wallets)  # only the first repeat sees wallets that nobody has asked for yet
    stage.note(f"{wallets * KEYS_PER_WALLET:,} keys of {wallets:,} wallets")
    cpu, per_s = dict[str, float](), dict[str, float]()
    async with stack.farebox(on) as running, Redis.from_url(on.redis) as redis:
        if is_cold:
            await verify_beforehand(redis, wallets)
        async with stack.audited_proxy(on, running) as at:
            await asked(stage, at, FEW, FEW)
            cpu[SOME], per_s[SOME] = await asked(stage, at, FEW, REQUESTS)
            first = await asked(stage, at, wallets, wallets)
            if is_cold:
                cpu[COLD], per_s[COLD] = first
            cpu[ALL], per_s[ALL] = await asked(stage, at, wallets, min(wallets, REQUESTS))
    return {CPU: cpu, PER_S: per_s}


async def asked(stage: Stage, at: Contender, wallets: int, requests: int) -> tuple[float, float]:
    """CPU in microseconds per request, and requests a second."""
    before = at.cpu_s()
    load = {"kind": "many", "connections": CONNECTIONS, "wallets": wallets, "requests": requests}
    found = await stage.load(at, **load)
    return 1e6 * (at.cpu_s() - before) / requests, found["per_s"]


MEASUREMENT = Alone("many_wallets", (CPU, PER_S), measure)
