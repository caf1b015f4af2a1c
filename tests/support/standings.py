"""A server as those see it who choose one."""

from dataclasses import dataclass, field

from proxy.upstream.attempts import Failover
from proxy.upstream.balance import Room
from proxy.upstream.standing import Fault, Standing, Tolerance


@dataclass(eq=False)
class FakeServer:
    name: str = "one"
    weight: int = 1
    busy: int = 0
    room: Room = Room.FREE
    failover: Failover = Failover.BEFORE_ANSWER
    standing: Standing = field(default_factory=lambda: Standing(Tolerance(failures=2, open_ms=100, bad_checks=1)))

    def opened(self, fault: Fault = Fault.UNANSWERED, at_ms: int = 0) -> "FakeServer":
        for _ in range(2):
            self.standing.failed(fault, at_ms)
        return self

    def down(self) -> "FakeServer":
        self.standing.checked(False)
        return self


class Clock:
    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        return self.now_ms
