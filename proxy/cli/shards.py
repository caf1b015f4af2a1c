"""`farebox reshard`: another number of shards, while nothing runs."""

from pathlib import Path

import click

from ledger.shards import StillInUse, reshard
from proxy.backends import connect_redis, open_pool
from proxy.cli.options import config_option, json_option, print_result, run
from runtime.config import load_as
from runtime.postgres import Pool
from runtime.redis_cluster import primaries_of
from runtime.settings import AccountsConfig
from runtime.settings.servers import MAX_SHARDS
from runtime.sql import load_queries

_NAME = "farebox-reshard"
_QUERIES = load_queries("ledger", "sql/sessions.sql")
# Looking through millions of keys; each answer by itself must come in this time.
_REDIS_TIMEOUT_S = 10.0


@click.command("reshard")
@click.option("--to", "shards", type=click.IntRange(1, MAX_SHARDS), required=True, help="How many shards from now on.")
@config_option
@json_option
def change_shards(shards: int, config: Path | None, as_json: bool) -> None:
    """Change the number of shards in Redis. Stop every proxy and ledger process first.

    Refuses while one of them runs, and while something is held or not posted yet. Set redis.shards to the same number
    before you start them again; what Redis knew of wallets and keys is loaded again when it is asked for.
    """
    forgotten = run(_reshard(load_as(AccountsConfig, config), shards))
    text = f"{shards} shards from now on; {forgotten} cached keys forgotten. Set redis.shards: {shards}"
    print_result({"shards": shards, "forgotten": forgotten}, as_json, text)


async def _reshard(config: AccountsConfig, shards: int) -> int:
    pool = await open_pool(config.database, _NAME)
    redis = connect_redis(config.redis, _REDIS_TIMEOUT_S)
    try:
        await _nothing_runs(pool)
        return await reshard(await primaries_of(redis), redis, shards)
    finally:
        await redis.aclose()
        await pool.close()


async def _nothing_runs(pool: Pool) -> None:
    names = [row["application_name"] for row in await pool.fetch(_QUERIES["running_processes"], _NAME)]
    if names:
        raise StillInUse(f"still connected to Postgres: {', '.join(names)}; stop every proxy and ledger process first")


COMMANDS = (change_shards,)
