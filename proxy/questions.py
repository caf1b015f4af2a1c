"""Which upstreams refuse what we ask them for: remembered, so that the next request is not refused again."""

from proxy.routing import Route
from runtime.expiring import Expiring

# A server may be updated; then it is asked again.
_TTL_S = 3600.0
_SIZE = 10_000
_REFUSED_WITH = frozenset((400, 422))
_WORDS = (b"stream_options", b"include_usage", b"continuous_usage_stats", b"timings_per_token")


class Questions:
    """By upstream and model: one server may stand in front of others."""

    def __init__(self) -> None:
        self._refused: Expiring[tuple[str, str], bool] = Expiring(_SIZE, _TTL_S)

    def may_ask(self, route: Route, model: str) -> bool:
        return self._refused.get((route.settings.name, model)) is None

    def refused(self, route: Route, model: str) -> None:
        self._refused.put((route.settings.name, model), True)


def is_about_our_question(status: int, body: bytes) -> bool:
    """Does this refusal name what we added?"""
    return status in _REFUSED_WITH and any(word in body for word in _WORDS)
