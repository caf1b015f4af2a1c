import pickle
import subprocess
import sys
from pathlib import Path
from uuid import RFC_4122, UUID, SafeUUID

from hypothesis import given
from hypothesis import strategies as st

from runtime.ids import new_request_id, time_of_ms

ROOT = Path(__file__).parents[3]

times_ms = st.integers(0, 2**48 - 1)


def test_the_example_of_the_standard() -> None:
    """RFC 9562, appendix A.6."""
    random = ((0xCC3 << 64) | 0x18C4DC0C0C07398F).to_bytes(10)
    assert new_request_id(0x017F22E279B0, random) == UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


@given(times_ms, st.binary(min_size=10, max_size=10))
def test_an_id_carries_its_time_version_and_variant(now_ms: int, random: bytes) -> None:
    made = new_request_id(now_ms, random)
    assert (time_of_ms(made), made.version, made.variant) == (now_ms, 7, RFC_4122)


@given(times_ms, times_ms)
def test_ids_sort_by_their_time(one_ms: int, other_ms: int) -> None:
    if one_ms < other_ms:
        assert new_request_id(one_ms) < new_request_id(other_ms)


def test_no_two_are_alike() -> None:
    assert len({new_request_id(1) for _ in range(10_000)}) == 10_000


def test_it_is_a_uuid_like_any_other() -> None:
    made = new_request_id(1)
    assert made == UUID(int=made.int) and hash(made) == hash(UUID(int=made.int))
    assert (str(made), made.is_safe) == (str(UUID(int=made.int)), SafeUUID.unknown)
    assert pickle.loads(pickle.dumps(made)) == made


FORKING = """
import os
from runtime.ids import new_request_id
new_request_id(1)
is_child = os.fork() == 0
os.write(1, f"{new_request_id(1)}\\n".encode())  # one write, which no other comes into
if not is_child:
    os.wait()
"""


def test_a_process_that_is_forked_makes_others() -> None:
    ran = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True, cwd=ROOT)
    assert len(set(ran.stdout.split())) == 2
