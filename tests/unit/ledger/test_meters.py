"""What a posted part counts as."""

from ledger import meters


def test_a_posted_part() -> None:
    before, row = dict(meters.POSTED.values), list(meters.DELAY.row(()))
    meters.posted(new=5, duplicates=1, corrected=0, buried=2, oldest_event_id="1000-7", now_ms=1_120)
    grown = {labels[0]: count - before.get(labels, 0) for labels, count in meters.POSTED.values.items()}
    assert grown == {"posted": 5, "duplicate": 1, "corrected": 0, "buried": 2}
    assert meters.DELAY.row(())[-1] - row[-1] == 120


def test_clocks_that_are_apart_make_no_negative_delay() -> None:
    row = list(meters.DELAY.row(()))
    meters.posted(new=1, duplicates=0, corrected=0, buried=0, oldest_event_id="5000-0", now_ms=1)
    assert meters.DELAY.row(())[0] == row[0] + 1
    assert meters.DELAY.row(())[-1] == row[-1]


def test_events_of_which_none_could_be_read_have_no_delay() -> None:
    row = list(meters.DELAY.row(()))
    meters.posted(new=0, duplicates=0, corrected=0, buried=3, oldest_event_id=None, now_ms=1)
    assert meters.DELAY.row(()) == row
