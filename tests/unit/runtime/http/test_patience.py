"""How long a connection may go on: idle, with half a head, heard out, read slowly."""

import math

from runtime.http.limits import HttpLimits
from runtime.http.patience import Patience

LIMITS = HttpLimits(keep_alive_s=75, head_s=60, linger_s=10)


def idle_since(now_s: float) -> Patience:
    patience = Patience(LIMITS)
    patience.is_idle(now_s)
    return patience


def test_idle() -> None:
    patience = idle_since(100)
    assert not patience.is_over(174.9, 0) and patience.is_over(175, 0)


def test_while_a_request_is_answered_there_is_no_end() -> None:
    patience = idle_since(100)
    patience.is_answering()
    assert patience.deadline_s == math.inf and not patience.is_over(10**9, 0)


def test_half_a_head_has_its_own_time_which_more_bytes_do_not_lengthen() -> None:
    patience = idle_since(100)
    for now_s in (170, 180, 229):
        patience.has_half_a_head(now_s)
    assert not patience.is_over(229, 0) and patience.is_over(230, 0)
    patience.is_idle(230)
    patience.has_half_a_head(240)
    assert patience.deadline_s == 300


def test_who_still_sends_is_heard_out_for_a_while() -> None:
    patience = idle_since(100)
    patience.hears_out(100)
    assert not patience.is_over(109, 0) and patience.is_over(110, 0)


def test_who_still_reads_the_last_answer_is_given_more_time_as_long_as_it_does() -> None:
    patience = idle_since(100)
    assert not patience.is_over(175, 300)
    assert not patience.is_over(185, 200)
    assert patience.is_over(195, 200)


def test_who_has_read_it_all_is_idle() -> None:
    patience = idle_since(100)
    assert not patience.is_over(175, 300)
    assert patience.is_over(185, 0)
