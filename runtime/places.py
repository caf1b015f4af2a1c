"""So many at once and no more, and of one owner fewer: what is limited in number, where nobody queues."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from runtime.coalesce import Overloaded


class Places:
    """`total` places, of which one owner may have `per_owner`: one of them alone cannot keep the others out."""

    def __init__(self, total: int, per_owner: int) -> None:
        self._total = total
        self._per_owner = per_owner
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def take(self, owner: Hashable) -> Iterator[None]:
        """A place until the block is left, however it is. Raises Overloaded where there is none."""
        if self._taken.total() >= self._total or self._taken[owner] >= self._per_owner:
            raise Overloaded("no place is free")
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
