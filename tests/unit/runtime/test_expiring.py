from hypothesis import given
from hypothesis import strategies as st

from runtime.expiring import Expiring

TTL_S = 10.0
MOST = 3
steps = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["put", "get"]), st.floats(0, 6)), max_size=40)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(steps)
def test_it_is_a_dict_in_which_the_oldest_go_first_and_none_gets_too_old(history: list[tuple[int, str, float]]) -> None:
    clock = Clock()
    cache: Expiring[int, float] = Expiring(MOST, TTL_S, clock)
    model: list[tuple[int, float]] = []  # key and the time at which it was put, the oldest first
    for key, step, later_s in history:
        clock.now_s += later_s
        if step == "put":
            cache.put(key, clock.now_s)
            model = [*(each for each in model if each[0] != key), (key, clock.now_s)][-MOST:]
        else:
            alive = {name: put_s for name, put_s in model if clock.now_s < put_s + TTL_S}
            assert cache.get(key) == alive.get(key)
        assert len(cache) == len(model)


def test_nothing_is_not_found() -> None:
    cache: Expiring[str, int] = Expiring(1, TTL_S)
    assert cache.get("x") is None
