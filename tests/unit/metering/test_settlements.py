"""A settlement comes back from its record as it was; what is no record is told from one."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.redis_schema import holds_key, key_state_key, usage_stream, wallet_key
from metering.settlements import Remembered, Settlement, UnknownRecord, settle_arguments
from tests.support.played_redis import numbered

COUNTS = st.integers(0, 2**64 - 1)
SETTLEMENTS = st.builds(Settlement, st.uuids(), st.uuids(), st.uuids(), COUNTS, st.binary(max_size=50), COUNTS)
RECORD = numbered(1).to_record()


@given(SETTLEMENTS)
def test_it_comes_back_as_it_was(settlement: Settlement) -> None:
    assert Settlement.from_record(settlement.to_record()) == settlement


@pytest.mark.parametrize("record", [b"", RECORD[:64], b"\x02" + RECORD[1:], b"{}"])
def test_what_is_no_settlement_of_this_version_is_said_to_be_unknown(record: bytes) -> None:
    with pytest.raises(UnknownRecord):
        Settlement.from_record(record)


def test_a_record_says_nothing_but_ids_counts_and_the_entry() -> None:
    settlement = Settlement(UUID(int=1), UUID(int=2), UUID(int=3), 4, b"entry", 5)
    numbers = [1, *[0] * 15, 1, *[0] * 15, 2, *[0] * 15, 3, *[0] * 7, 4, *[0] * 7, 5]
    assert settlement.to_record() == bytes(numbers) + b"entry"


def test_what_the_script_is_told() -> None:
    first, second = Settlement(UUID(int=1), UUID(int=2), UUID(int=3), 4, b"entry", 5), numbered(6, wallet=7)
    wallets = wallet_key(1, first.wallet_id), wallet_key(1, second.wallet_id)
    states = key_state_key(1, first.key_id), key_state_key(1, second.key_id)
    keys, args = settle_arguments(1, [first, second])
    assert keys == [holds_key(1), usage_stream(1), wallets[0], states[0], wallets[1], states[1]]
    assert args == [first.request_id.bytes, 4, b"entry", 5, "", second.request_id.bytes, 6, b"6", 0, ""]
    assert settle_arguments(1, [first, second], [17, 18]) == (keys, [*args[:4], 17, *args[5:9], 18])


def test_what_is_remembered_is_forgotten_by_age() -> None:
    remembered = Remembered(10)
    for at_ms in (1, 2, 2, 3):
        remembered.add([numbered(at_ms)], at_ms)
    remembered.forget_before(2)
    assert len(remembered) == 3
    remembered.forget_before(3)
    assert remembered.take() == [numbered(3)]
    assert len(remembered) == 0 and remembered.take() == []


def test_of_too_many_the_oldest_are_forgotten() -> None:
    remembered = Remembered(3)
    remembered.add([numbered(n) for n in range(5)], 0)
    assert remembered.take() == [numbered(n) for n in (2, 3, 4)]
