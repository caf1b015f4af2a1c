"""What a key may be used for: which models, on which routes, from which addresses. Pure.

A policy is written by the ledger (`ledger/rows.py`) as `{"models": […], "routes": […], "ips": […]}`, each list only
where there is one, and kept in Redis beside the key. A list that is empty allows nothing.
"""

from dataclasses import dataclass
from enum import Enum

import orjson
from msgspec import Struct

from runtime.addresses import Network, is_within, read_address, read_network

_ANYTHING_AFTER = "*"


class Refused(Enum):
    """What a policy does not allow."""

    IP = "ip"
    ROUTE = "route"
    MODEL = "model"


class Use(Struct, frozen=True):
    """What a request wants: a model, on a route, from an address (None: nobody knows from where)."""

    model: str = ""
    route: str = ""
    ip: str | None = None


UNKNOWN_USE = Use()


@dataclass(frozen=True, slots=True)
class Policy:
    """None where there is no restriction. Models are names, or beginnings of names for what ends in `*`."""

    models: frozenset[str] | None = None
    model_beginnings: tuple[str, ...] = ()
    routes: frozenset[str] | None = None
    networks: tuple[Network, ...] | None = None

    @classmethod
    def parse(cls, text: str | bytes) -> "Policy":
        """Raises ValueError, TypeError or AttributeError for what is no policy."""
        if not text:
            return ANYTHING
        lists = orjson.loads(text)
        if not isinstance(lists, dict) or not lists.keys() <= {"models", "routes", "ips"}:
            raise ValueError("not a policy")
        models, routes, ips = (lists.get(name) for name in ("models", "routes", "ips"))
        beginnings = [name[:-1] for name in models or () if name.endswith(_ANYTHING_AFTER)]
        return cls(
            None if models is None else frozenset(models),
            tuple(beginnings),
            None if routes is None else frozenset(routes),
            None if ips is None else tuple(map(read_network, ips)),
        )

    def refusal(self, use: Use) -> Refused | None:
        """Where it comes from is asked first: whoever found the key elsewhere need not learn what it is for."""
        if not self.allows_ip(use.ip):
            return Refused.IP
        if self.routes is not None and use.route not in self.routes:
            return Refused.ROUTE
        return None if self.allows_model(use.model) else Refused.MODEL

    def allows_model(self, model: str) -> bool:
        return self.models is None or model in self.models or model.startswith(self.model_beginnings)

    def allows_ip(self, ip: str | None) -> bool:
        """An address that is not known is in no list."""
        if self.networks is None:
            return True
        address = None if ip is None else read_address(ip)
        return address is not None and is_within(address, self.networks)


ANYTHING = Policy()
# For a policy that cannot be understood, as one of a later version: its key is refused rather than let through.
NOTHING = Policy(models=frozenset(), routes=frozenset(), networks=())


def parse_or_nothing(text: str | bytes) -> Policy:
    try:
        return Policy.parse(text)
    except (ValueError, TypeError, AttributeError):
        return NOTHING
