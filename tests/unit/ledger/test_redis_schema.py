import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ledger import redis_schema as schema

HASH_TAG = re.compile(r"\{(\d+)\}")


@given(st.uuids(), st.uuids(), st.integers(1, 64))
def test_all_keys_of_a_wallet_carry_the_tag_of_its_shard(wallet_id: UUID, key_id: UUID, shards: int) -> None:
    shard = schema.shard_of(wallet_id, shards)
    keys = [
        schema.wallet_key(shard, wallet_id),
        schema.key_state_key(shard, key_id),
        schema.holds_key(shard),
        schema.usage_stream(shard),
    ]
    assert 0 <= shard < shards
    assert {HASH_TAG.findall(key)[0] for key in keys} == {str(shard)}
    assert len(set(keys)) == len(keys)


@given(st.uuids(), st.uuids())
def test_different_wallets_have_different_keys(one: UUID, other: UUID) -> None:
    assert (schema.wallet_key(0, one) == schema.wallet_key(0, other)) == (one == other)
