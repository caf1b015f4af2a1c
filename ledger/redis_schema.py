"""The names under which Redis keeps money: one place, read by the Lua's callers on both sides.

Every key of one wallet carries the hash tag of its shard, `{0}` … `{N-1}`, so that one script call may touch them
all on a Redis or Valkey Cluster. N is 1 on a single node.

    fb:{s}:wallet:<wallet_id>  hash    balance overdraft version frozen (Postgres' truth) ·
                                       held unposted (Redis' truth), nano-dollars
    fb:{s}:key:<key_id>        hash    active expires_ms rpm rpd version · rpm_level rpd_level buckets_ms (bucket state)
                                       special (1: some of what follows) · frozen · policy policy_id (JSON, its id) ·
                                       limited (1: some of) tpm max_open budget_day budget_month budget_total ·
                                       tpm_level tpm_ms (bucket state) · open (how many requests) · counting (how often
                                       it began) day month used_day used_month used_total (spent and held) ·
                                       request id (16 bytes) -> "hold tokens day month counting" of an open request
    fb:{s}:holds               hash    request id (16 bytes) -> "nanos expiry_ms wallet_id key_id checkpoint"
    fb:{s}:looks               hash    seen_ms from_ms: when somebody looked for lapsed holds (metering/lua/lapsed.lua)
    fb:{s}:life                string  a mark that is gone when the shard was emptied (ledger/lives.py)
    fb:{s}:usage               stream  one event per settled request: fields `entry` (JSON), `charge` (nano-dollars)
    fb:{s}:shards              string  N, as it was when this shard was first used (ledger/shards.py)

available = balance + overdraft - held - unposted
"""

from functools import lru_cache
from uuid import UUID

LEDGER_GROUP = "ledger"
# A proxy asks for the same few names thousands of times a second, and writing out a UUID takes a microsecond.
_NAMES_KEPT = 50_000


def shard_of(wallet_id: UUID, shards: int) -> int:
    return wallet_id.int % shards


def wallet_prefix(shard: int) -> str:
    """What the names of a shard's wallets begin with, and nothing else does."""
    return f"fb:{{{shard}}}:wallet:"


@lru_cache(_NAMES_KEPT)
def wallet_key(shard: int, wallet_id: UUID) -> str:
    return f"{wallet_prefix(shard)}{wallet_id}"


@lru_cache(_NAMES_KEPT)
def key_state_key(shard: int, key_id: UUID) -> str:
    return f"fb:{{{shard}}}:key:{key_id}"


def holds_key(shard: int) -> str:
    return f"fb:{{{shard}}}:holds"


def looks_key(shard: int) -> str:
    return f"fb:{{{shard}}}:looks"


def life_key(shard: int) -> str:
    return f"fb:{{{shard}}}:life"


def usage_stream(shard: int) -> str:
    return f"fb:{{{shard}}}:usage"


def shards_key(shard: int) -> str:
    return f"fb:{{{shard}}}:shards"
