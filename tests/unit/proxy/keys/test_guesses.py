"""How much bcrypt the wrong keys of one prefix may take, and whose turn it is."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.keys.guesses import Guesses

ANAS, BENS = "pp_live-AAAAAAA", "pp_live-BBBBBBB"
# What one check takes at the usual cost, and what is rested for it.
CPU_S, REST_S = 0.05, 1.0
PLACES = 2


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def guesses(clock: Clock, **limits: int) -> Guesses:
    return Guesses(clock_s=clock, **limits)


def guessed(clock: Clock, times: int) -> Guesses:
    made = guesses(clock)
    for _ in range(times):
        made.wrong(ANAS, CPU_S)
    return made


def test_a_prefix_without_wrong_keys_has_all_places_and_one_that_had_some_has_one_at_a_time() -> None:
    clock = Clock()
    of = guessed(clock, 3)
    assert (of.places(ANAS, "a"), of.places(BENS, "a")) == (1, PLACES)
    clock.now_s += 3 * REST_S
    assert of.places(ANAS, "a") == PLACES


def test_while_it_is_guessed_only_who_comes_back_is_checked() -> None:
    clock = Clock()
    of = guessed(clock, 5)
    assert of.places(ANAS, "the owner") == 0
    of.turned_away("the owner")
    assert of.places(ANAS, "the owner") == 0, "at once is no coming back"
    clock.now_s += 0.5
    of.turned_away("the owner")  # who asks again and again does not wait anew
    assert (of.places(ANAS, "the owner"), of.places(ANAS, "another")) == (PLACES, 0)
    clock.now_s += 1
    assert (of.places(ANAS, "the owner"), of.places(ANAS, "another")) == (PLACES, 1), "before any other"


def test_beyond_that_nobody_is_until_it_has_rested() -> None:
    clock = Clock()
    of = guessed(clock, 9)
    of.turned_away("the owner")
    clock.now_s += 0.9
    assert of.places(ANAS, "the owner") == 0
    clock.now_s += 0.2
    assert of.places(ANAS, "the owner") == PLACES


def test_who_was_turned_away_long_ago_is_forgotten_and_so_are_the_first_of_too_many() -> None:
    clock = Clock()
    of = guesses(clock, max_turned_away=2)
    for name in "abc":
        of.turned_away(name)
    clock.now_s += 0.5
    for _ in range(5):
        of.wrong(ANAS, CPU_S)
    assert [of.places(ANAS, name) for name in "abc"] == [0, PLACES, PLACES]
    clock.now_s += 60
    for _ in range(5):
        of.wrong(ANAS, CPU_S)
    assert [of.places(ANAS, name) for name in "abc"] == [0, 0, 0]


def test_however_many_prefixes_are_guessed_so_many_are_remembered_the_latest() -> None:
    clock = Clock()
    of = guesses(clock, max_prefixes=2)
    for prefix in (ANAS, BENS, ANAS, "pp_live-CCCCCCC"):
        of.wrong(prefix, CPU_S)
    assert len(of) == 2
    assert [of.places(prefix, "a") for prefix in (ANAS, BENS)] == [1, PLACES]


@given(st.lists(st.tuples(st.integers(0, 2_000), st.booleans()), max_size=300), st.sampled_from([0.001, CPU_S, 0.8]))
def test_whoever_asks_and_however_they_take_a_twentieth_of_a_core_at_most(
    asked: list[tuple[int, bool]], cpu_s: float
) -> None:
    """All keys are wrong; a check takes no time by the clock, so that one at a time bounds nothing."""
    clock = Clock()
    of, spent_s, began_s = guesses(clock), 0.0, clock.now_s
    for wait_ms, is_back in asked:
        clock.now_s += wait_ms / 1000
        name = "again" if is_back else str(clock.now_s)
        if of.places(ANAS, name):
            of.wrong(ANAS, cpu_s)
            spent_s += cpu_s
        else:
            of.turned_away(name)
    # what may be owed at the end: less than eight seconds' worth, and the last check
    assert spent_s <= (clock.now_s - began_s + 8.0) / 20 + cpu_s + 1e-9
