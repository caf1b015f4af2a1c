"""Any bytes come back; a cut loses what was cut; a byte changed anywhere loses one record, and that is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.records import HEADER_BYTES, MARKER, MAX_RECORD_BYTES, RecordTooLarge, Scan, frame, frames, scan

CONTENTS = st.lists(st.one_of(st.binary(max_size=40), st.just(MARKER), st.just(frame(b"inner", 7))), max_size=6)
SOME = [b"one", b"", MARKER * 5, b"four"]


def ends(contents: list[bytes]) -> list[int]:
    """Where each record ends."""
    found = [0]
    for content in contents:
        found.append(found[-1] + HEADER_BYTES + len(content))
    return found[1:]


@given(CONTENTS)
def test_what_was_written_is_read(contents: list[bytes]) -> None:
    assert scan(frames(contents, 0)) == Scan(contents)


@given(CONTENTS)
def test_cut_anywhere_what_stands_before_is_read_and_the_end_is_torn(contents: list[bytes]) -> None:
    data = frames(contents, 0)
    for size in range(len(data)):
        whole = sum(end <= size for end in ends(contents))
        torn = size - (ends(contents)[whole - 1] if whole else 0)
        assert scan(data[:size]) == Scan(contents[:whole], [], torn)


@given(CONTENTS, st.integers(1, 255))
def test_a_byte_changed_anywhere_is_damage_of_its_record_alone(contents: list[bytes], change: int) -> None:
    data = frames(contents, 0)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= change
        hit = sum(end <= place for end in ends(contents))
        begin = ends(contents)[hit - 1] if hit else 0
        assert scan(bytes(changed)) == Scan(contents[:hit] + contents[hit + 1 :], [(begin, ends(contents)[hit])])


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_told_apart_to_the_last(data: bytes) -> None:
    found = scan(data)
    read = sum(HEADER_BYTES + len(record) for record in found.records)
    damaged = sum(end - begin for begin, end in found.damaged)
    assert read + damaged + found.torn_bytes == len(data)


def test_damage_and_a_torn_end_are_both_told() -> None:
    data = bytearray(frames(SOME, 0))
    data[HEADER_BYTES] ^= 1
    assert scan(bytes(data[:-1])) == Scan(SOME[1:3], [(0, HEADER_BYTES + 3)], HEADER_BYTES + 3)


def test_zeros_at_the_end_were_never_written() -> None:
    assert scan(frames(SOME, 0) + bytes(5000)) == Scan(SOME, [], 5000)


def test_zeros_within_are_damage() -> None:
    data = frames(SOME, 0)
    begin = HEADER_BYTES + 3
    found = scan(data[:begin] + bytes(HEADER_BYTES) + data[begin + HEADER_BYTES :])
    assert found == Scan([SOME[0], *SOME[2:]], [(begin, begin + HEADER_BYTES)])


def test_a_record_within_a_damaged_one_is_not_taken_for_one() -> None:
    """Who writes the content must not be able to write records."""
    data = bytearray(frames([frame(b"forged", 0), b"after"], 0))
    data[5] ^= 1
    assert scan(bytes(data)).records == [b"after"]


def test_a_record_that_was_moved_is_damage() -> None:
    assert scan(frames(SOME, 1)).records == []


def test_too_much_for_one_record() -> None:
    with pytest.raises(RecordTooLarge):
        frame(bytes(MAX_RECORD_BYTES + 1), 0)
    assert scan(frame(bytes(MAX_RECORD_BYTES), 0)).records == [bytes(MAX_RECORD_BYTES)]
