"""`GET /v1/models`: what this key may use, for who has a good key."""

from typing import cast
from uuid import UUID

import pytest

from metering.admission import KeyStanding, Limits, LimitsUnavailable
from metering.policy import ANYTHING, Policy
from metering.pricing import PriceSheet
from proxy.callers import Callers
from proxy.failures import Failure, invalid_api_key
from proxy.http.routes import Table
from proxy.keys.verifier import Identity
from proxy.models import ModelList
from proxy.prices import PriceBook
from proxy.routing import Routes
from tests.support.calls import IDENTITY, door_of, price, route
from tests.support.memory_http import Answer, connected, get

GOOD_KEY = KeyStanding(True, False, ANYTHING)


class Verifier:
    def __init__(self) -> None:
        self.failure: Failure | None = None
        self.seen: list[str] = []

    def known(self, key: str) -> Identity | None:
        return None

    async def verify(self, key: str) -> Identity:
        self.seen.append(key)
        if self.failure is not None:
            raise self.failure
        return IDENTITY


class KeyStates:
    """The one question that is asked of the limits."""

    def __init__(self) -> None:
        self.answer: KeyStanding | Exception = GOOD_KEY

    async def standing(self, key_id: UUID, wallet_id: UUID, now_ms: int) -> KeyStanding:
        assert (key_id, wallet_id) == (IDENTITY.key_id, IDENTITY.wallet_id) and now_ms > 0
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Rig:
    def __init__(self) -> None:
        self.verifier, self.limits = Verifier(), KeyStates()

    async def ask(self, *headers: str, path: str = "/v1/models") -> Answer:
        sheet = PriceSheet([price(model="tiny"), price(model="large"), price(model="served-by-nobody")])

        async def read() -> PriceSheet:
            return sheet

        prices = PriceBook(read)
        await prices.refresh()
        routes = Routes([route(models=("tiny", "large", "without-a-price"))])
        callers = Callers(door_of(self.verifier), cast(Limits, self.limits))
        models = ModelList(callers, prices, routes)
        table: Table = {("GET", "/v1/models"): models.list, ("GET", "/v1/models/{id}"): models.one}
        async with connected(table) as client:
            return await client.ask(get(path, *headers))


GOOD = "Authorization: Bearer pp_live-x"


async def test_what_has_a_price_and_somebody_who_serves_it() -> None:
    rig = Rig()
    answer = await rig.ask(GOOD)
    assert answer.status == 200 and rig.verifier.seen == ["pp_live-x"]
    assert answer.json()["object"] == "list"
    assert [model["id"] for model in answer.json()["data"]] == ["large", "tiny"]
    assert {model["object"] for model in answer.json()["data"]} == {"model"}
    assert UUID(answer.headers["x-request-id"]).version == 7


async def test_without_a_key() -> None:
    answer = await Rig().ask()
    assert (answer.status, answer.json()["error"]["code"]) == (401, "missing_api_key")
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize("is_known", [True, False], ids=["revoked", "unknown"])
async def test_with_a_bad_key(is_known: bool) -> None:
    rig = Rig()
    if is_known:
        rig.limits.answer = KeyStanding(False, False, ANYTHING)
    else:
        rig.verifier.failure = invalid_api_key()
    answer = await rig.ask(GOOD)
    assert (answer.status, answer.body) == (401, invalid_api_key().body())


async def test_while_the_limits_are_away() -> None:
    rig = Rig()
    rig.limits.answer = LimitsUnavailable("gone", 1_000)
    answer = await rig.ask(GOOD)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "limits_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_key_sees_the_models_that_it_may_use() -> None:
    rig = Rig()
    rig.limits.answer = KeyStanding(True, False, Policy.parse(b'{"models": ["tiny", "without-a-price"]}'))
    assert [model["id"] for model in (await rig.ask(GOOD)).json()["data"]] == ["tiny"]
    assert (await rig.ask(GOOD, path="/v1/models/large")).status == 404


async def test_one_model_as_the_list_shows_it() -> None:
    rig = Rig()
    (listed,) = [model for model in (await rig.ask(GOOD)).json()["data"] if model["id"] == "large"]
    answer = await rig.ask(GOOD, path="/v1/models/large")
    assert (answer.status, answer.json()) == (200, listed)
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize("name", ["x", "without-a-price", "served-by-nobody", "Tiny", "tiny%20", "a%2Fb", "%00"])
async def test_a_model_that_is_not_in_the_list_is_not_there(name: str) -> None:
    answer = await Rig().ask(GOOD, path=f"/v1/models/{name}")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")


async def test_one_model_is_not_told_to_a_bad_key() -> None:
    rig = Rig()
    rig.verifier.failure = invalid_api_key()
    for name in ("tiny", "x"):
        assert (await rig.ask(GOOD, path=f"/v1/models/{name}")).status == 401
