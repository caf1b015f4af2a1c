"""Which node a command goes to."""

import pytest
from redis.crc import key_slot

from runtime.redis_slots import NoKey, SlotMap, slot_of

A, B, C = ("10.0.0.1", 6379), ("10.0.0.2", 6379), ("10.0.0.3", 6380)
REPLY = [
    [0, 99, [b"10.0.0.1", 6379, b"id-a"], [b"10.0.0.3", 6380, b"id-c"]],
    [100, 16_000, [b"10.0.0.2", 6379, b"id-b", [b"hostname", b"b"]]],
]


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "the key"),
        ("HMGET", b"the key", "a", "b"),
        ("XGROUP CREATE", "the key", "ledger", "0"),
        ("EVALSHA", "ab12", 2, "the key", "another", "argument"),
        ("EVAL", "return 1", "1", "the key"),
        ("XREADGROUP", "GROUP", "streams", "me", "COUNT", 9, b"STREAMS", "the key", ">"),
    ],
)
def test_a_command_goes_where_its_first_key_is(command: tuple[object, ...]) -> None:
    assert slot_of(command) == key_slot(b"the key")


def test_keys_with_the_same_hash_tag_are_in_one_slot() -> None:
    assert slot_of(("GET", "fb:{3}:holds")) == slot_of(("EVALSHA", "ab", 1, "fb:{3}:usage")) == key_slot(b"3")


@pytest.mark.parametrize("command", [("PING",), ("ping",), ("CLUSTER SLOTS",)])
def test_what_any_node_can_answer_has_no_slot(command: tuple[object, ...]) -> None:
    assert slot_of(command) is None


@pytest.mark.parametrize("command", [("DBSIZE",), ("EVALSHA", "ab12", 0), ("XREADGROUP", "GROUP", "a", "b")])
def test_what_names_no_key_is_not_sent_to_just_any_node(command: tuple[object, ...]) -> None:
    with pytest.raises(NoKey):
        slot_of(command)


def test_a_map_is_what_a_node_said() -> None:
    seen = SlotMap.read(REPLY, A)
    assert [seen.owner(slot) for slot in (0, 99, 100, 16_000, 16_001)] == [A, A, B, B, None]
    assert (set(seen.addresses), set(seen.owners)) == ({A, B, C}, {A, B})


@pytest.mark.parametrize("nameless", [b"", None])
def test_a_node_that_does_not_know_its_name_is_the_one_that_was_asked(nameless: bytes | None) -> None:
    seen = SlotMap.read([[0, 16_383, [nameless, 6379, b"id"]]], ("known-as", 7000))
    assert seen.owner(5) == ("known-as", 6379)


def test_a_node_that_sends_us_elsewhere_corrects_the_map() -> None:
    seen = SlotMap.read(REPLY, A)
    seen.moved(50, C)
    assert [seen.owner(slot) for slot in (49, 50, 51)] == [A, C, A]
    assert SlotMap.read(REPLY, A).owner(50) == A
