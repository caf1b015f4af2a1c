"""Does a key match a stored hash: bcrypt, beside the loop and behind it.

bcrypt takes about 50 ms of a core at cost 10, and lets go of the interpreter lock while it does. Wherever the proxy has
one core only (and it uses no more) these threads and the loop take turns at it: at equal rank everybody would wait for
whoever shows a key for the first time, or many wrong ones.
"""

import asyncio
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from accounts.key_format import matches_hash
from ledger.postgres import KeyRow
from proxy.keys.guesses import Guesses
from runtime.coalesce import Overloaded
from runtime.scheduling import step_back

_THREADS = 2
_WAITING = 128
# A tenth of the weight of the loop's thread. Not less: for microseconds they hold the interpreter lock, and must not
# wait long for their turn with it.
_NICENESS = 10


class KeyChecks:
    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._guesses = Guesses()
        self._threads = ThreadPoolExecutor(_THREADS, "bcrypt", step_back, (_NICENESS,))

    @property
    def waiting(self) -> int:
        """How many are being checked, or wait for that."""
        return self._waiting.total()

    def must_have_room(self, prefix: str, name: str) -> None:
        """Raises Overloaded where too many wait already, in all or with this prefix, or it is being guessed."""
        waiting = self._waiting
        if waiting.total() >= _WAITING or waiting[prefix] >= self._guesses.places(prefix, name):
            self._guesses.turned_away(name)
            raise Overloaded("bcrypt")

    async def matches(self, key: str, name: str, row: KeyRow) -> bool:
        """`name`: the key's HMAC. Raises as `must_have_room`."""
        self.must_have_room(row.key_prefix, name)
        waiting = self._waiting
        waiting[row.key_prefix] += 1
        try:
            loop = asyncio.get_running_loop()
            is_right, cpu_s = await loop.run_in_executor(self._threads, _matches, key, row.key_hash)
            if not is_right:
                self._guesses.wrong(row.key_prefix, cpu_s)
            return is_right
        finally:
            waiting[row.key_prefix] -= 1
            if not waiting[row.key_prefix]:
                del waiting[row.key_prefix]

    def close(self) -> None:
        """What waits is given up; what runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _matches(key: str, key_hash: str) -> tuple[bool, float]:
    """And how many seconds of a core it took."""
    before_s = time.thread_time()
    is_right = matches_hash(key, key_hash)
    return is_right, time.thread_time() - before_s
