"""How long one connection may go on as it is, by the loop's clock. Pure: the time is handed in."""

import math

from runtime.http.limits import HttpLimits


class Patience:
    """`deadline_s`: when it ends. While a request is answered there is none here: its handler has limits of its own."""

    __slots__ = ("_is_head_late", "_limits", "_unsent_bytes", "deadline_s")

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._is_head_late = False
        self._unsent_bytes = 0
        self.deadline_s = math.inf

    def is_answering(self) -> None:
        self.deadline_s = math.inf

    def is_idle(self, now_s: float) -> None:
        """Nothing is asked; the last answer may still be on its way."""
        self._is_head_late = False
        self._unsent_bytes = 0
        self.deadline_s = now_s + self._limits.keep_alive_s

    def has_half_a_head(self, now_s: float) -> None:
        """From its first bytes on the time runs; more bytes do not make it longer."""
        if not self._is_head_late:
            self._is_head_late = True
            self.deadline_s = now_s + self._limits.head_s

    def hears_out(self, now_s: float) -> None:
        """The last answer is written, and the client still sends."""
        self.deadline_s = now_s + self._limits.linger_s

    def is_over(self, now_s: float, unsent_bytes: int) -> bool:
        """At a deadline a client that still reads what was written is given more time, a little at a time."""
        if now_s < self.deadline_s:
            return False
        if 0 < unsent_bytes != self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self.deadline_s = now_s + self._limits.linger_s
            return False
        return True
