"""Which of two loads a server is told of by."""

from benchmarks.figures.unary import BUSY, CPU, KEPT, OVER, REQUESTS, Found, values
from benchmarks.stack import Contender

FEW, MANY = OVER


def contender(pid: int | None) -> Contender:
    return Contender("one", "http://127.0.0.1:1", ["a key"], pid)


def test_a_server_is_told_of_by_what_it_does_best() -> None:
    told = values(contender(1), {FEW: Found(4_000, 0.00025, 0.00002), MANY: Found(5_000, 0.00016, 0.00001)})
    assert told == {
        REQUESTS: {"one": 5_000},
        OVER[FEW]: {"one": 4_000},
        OVER[MANY]: {"one": 5_000},
        CPU: {"one": 160.0},
        BUSY: {"one": 80.0},
        KEPT: {"one": 5.0},
    }


def test_where_nothing_is_between_there_is_no_core_to_tell_of() -> None:
    told = values(contender(None), {FEW: Found(9_000), MANY: Found(5_000)})
    assert told == {REQUESTS: {"one": 9_000}, OVER[FEW]: {"one": 9_000}, OVER[MANY]: {"one": 5_000}}
