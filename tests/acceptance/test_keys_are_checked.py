"""Who may pass: keys that are missing, malformed, wrong, revoked or expired, and how fast a revocation is felt."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from accounts.key_format import PREFIX_CHARS
from runtime.clock import wall_ms
from tests.support.calling import Answer, Caller, chat
from tests.support.office import Office, eventually
from tests.support.program import Program

ONE_TOKEN = chat(simulate={"tokens": 1})
NOT_BEARER = ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Bearer a b", "pp_live-abc", "Token x", ""]
NO_KEYS = ["x", "pp_live-", *("pp_live-" + "x" * n for n in (31, 33)), "pp_test-" + "x" * 32, "pp_live-" + "%" * 32]


def assert_unauthorized(answer: Answer, code: str) -> None:
    assert (answer.status, answer.error["code"]) == (401, code), answer
    assert answer.error["type"] == "invalid_request_error"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert UUID(answer.request_id).version == 7


def from_now(**delta: float) -> datetime:
    return datetime.fromtimestamp(wall_ms() / 1000, UTC) + timedelta(**delta)


async def test_no_key(call: Caller) -> None:
    assert_unauthorized(await call.post(ONE_TOKEN), "missing_api_key")
    assert_unauthorized(await call.get("/v1/models"), "missing_api_key")


@pytest.mark.parametrize("value", NOT_BEARER)
async def test_an_authorization_that_is_not_bearer(call: Caller, value: str) -> None:
    assert_unauthorized(await call.post(ONE_TOKEN, headers={"authorization": value}), "invalid_auth_format")
    assert_unauthorized(await call.get("/v1/models", headers={"authorization": value}), "invalid_auth_format")


async def test_the_scheme_may_be_written_in_any_case(call: Caller, office: Office) -> None:
    customer = await office.customer()
    for scheme in ("bearer", "BEARER"):
        answer = await call.post(ONE_TOKEN, headers={"authorization": f"{scheme} {customer.key}"})
        assert answer.status == 200


async def test_the_key_may_come_as_x_api_key(call: Caller, office: Office) -> None:
    customer = await office.customer()
    assert (await call.post(ONE_TOKEN, headers={"x-api-key": customer.key})).status == 200
    assert_unauthorized(await call.post(ONE_TOKEN, headers={"x-api-key": "pp_live-" + "x" * 32}), "invalid_api_key")


@pytest.mark.parametrize("key", [*NO_KEYS, "x" * 4_000], ids=lambda key: f"{key[:12]}{len(key)}")
async def test_what_is_no_key(call: Caller, key: str) -> None:
    assert_unauthorized(await call.post(ONE_TOKEN, headers={"authorization": f"Bearer {key}"}), "invalid_api_key")


async def test_keys_that_are_not_good_all_get_the_same_answer(call: Caller, office: Office) -> None:
    """Unknown, of somebody's prefix with another secret, revoked, expired: nobody can tell which."""
    good = await office.customer()
    revoked = await office.customer()
    expired = await office.customer(expires_at=from_now(seconds=-1))
    assert await office.keys.revoke(revoked.key_id)
    keys = [
        "pp_live-" + "x" * 32,
        good.key[:PREFIX_CHARS] + "x" * (len(good.key) - PREFIX_CHARS),
        good.key[:-1] + ("A" if good.key[-1] != "A" else "B"),
        revoked.key,
        expired.key,
    ]
    answers = [await call.post(ONE_TOKEN, headers={"authorization": f"Bearer {key}"}) for key in keys]
    for answer in answers:
        assert_unauthorized(answer, "invalid_api_key")
    assert len({answer.body for answer in answers}) == 1
    assert len({frozenset(answer.headers) for answer in answers}) == 1
    models = [await call.get("/v1/models", headers={"authorization": f"Bearer {key}"}) for key in keys]
    assert {answer.body for answer in models} == {answers[0].body}
    for customer in (good, revoked, expired):
        assert await office.untouched(customer)


async def test_a_key_that_was_just_used_lets_no_other_with_its_prefix_pass(call: Caller, office: Office) -> None:
    """What is remembered of it must be remembered by the whole of it."""
    customer = await office.customer()
    for wrong in (customer.key[:PREFIX_CHARS] + "x" * (len(customer.key) - PREFIX_CHARS), customer.key[:-2] + "__"):
        assert (await call.ask(customer, ONE_TOKEN)).status == 200
        assert_unauthorized(await call.post(ONE_TOKEN, headers={"authorization": f"Bearer {wrong}"}), "invalid_api_key")


async def test_a_revoked_key_is_refused_on_its_very_next_request_by_every_proxy(
    call: Caller, office: Office, program: Program, second_proxy: str
) -> None:
    customer = await office.customer()
    for base_url in (program.base_url, second_proxy):
        assert (await call.ask(customer, ONE_TOKEN, base_url=base_url)).status == 200
    assert await office.keys.revoke(customer.key_id)
    for base_url in (program.base_url, second_proxy):
        assert_unauthorized(await call.ask(customer, ONE_TOKEN, base_url=base_url), "invalid_api_key")
    assert_unauthorized(await call.get("/v1/models", headers=customer.auth), "invalid_api_key")


async def test_a_key_that_an_operator_switches_off_in_sql_is_refused(call: Caller, office: Office) -> None:
    customer = await office.customer()

    async def status() -> int:
        return (await call.ask(customer, ONE_TOKEN)).status

    assert await status() == 200
    await office.pool.execute("UPDATE ai_api_keys SET is_active = false WHERE id = $1", customer.key_id)
    await eventually(status, 401)
    await office.pool.execute("UPDATE ai_api_keys SET is_active = true WHERE id = $1", customer.key_id)
    await eventually(status, 200)


async def test_a_key_that_an_operator_deletes_in_sql_is_refused(call: Caller, office: Office) -> None:
    customer = await office.customer()

    async def status() -> int:
        return (await call.ask(customer, ONE_TOKEN)).status

    assert await status() == 200
    await office.settled()
    await office.pool.execute("DELETE FROM ai_api_keys WHERE id = $1", customer.key_id)
    await eventually(status, 401)
    await office.settled()


async def test_a_key_expires_while_it_is_used(call: Caller, office: Office) -> None:
    customer = await office.customer(expires_at=from_now(hours=1))

    async def status() -> int:
        return (await call.ask(customer, ONE_TOKEN)).status

    assert await status() == 200
    await office.pool.execute(
        "UPDATE ai_api_keys SET expires_at = $2 WHERE id = $1", customer.key_id, from_now(seconds=1)
    )
    await eventually(status, 401)


async def test_a_key_that_an_operator_inserts_in_sql_is_good_and_has_an_empty_wallet(
    call: Caller, office: Office
) -> None:
    other = await office.customer()
    user_id = uuid4()
    await office.pool.execute(
        "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name)"
        " SELECT $1, key_prefix, key_hash, 'moved' FROM ai_api_keys WHERE id = $2",
        user_id,
        other.key_id,
    )
    await office.pool.execute("DELETE FROM ai_api_keys WHERE id = $1", other.key_id)
    assert (await call.ask(other, ONE_TOKEN)).status == 402


async def test_two_keys_with_the_same_prefix_are_two_keys(call: Caller, office: Office) -> None:
    """Fifteen characters are stored in the clear; only the hash says whose key it is."""
    one, other = await office.customer(), await office.customer(0)
    await office.pool.execute(
        "UPDATE ai_api_keys SET key_prefix = $2 WHERE id = $1", other.key_id, one.key[:PREFIX_CHARS]
    )
    assert (await call.ask(one, ONE_TOKEN)).status == 200
    await office.settled()
    assert await office.usage_rows(other) == []


async def test_when_a_key_was_last_used_is_noted(call: Caller, office: Office) -> None:
    customer = await office.customer()
    assert (await office.keys.of_user(customer.user_id))[0].last_used_at is None
    await call.ask(customer, ONE_TOKEN)

    async def is_noted() -> bool:
        return (await office.keys.of_user(customer.user_id))[0].last_used_at is not None

    await eventually(is_noted, True)
