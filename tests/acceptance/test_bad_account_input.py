"""Every route and every field of the account API with everything that should not be sent there.

The cases are made from the description that the program serves, so a new route is tried without a line here. After all
of them nothing in Postgres has changed, nobody was answered with a 500, and the logs repeat nothing (`nothing_told`).
"""

import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from yarl import URL

from accounts.identity import mint_token
from runtime.clock import wall_ms
from tests.support.bad_requests import MARK, Case, bad_requests
from tests.support.calling import Caller, chat
from tests.support.described import PATH, Description, Operation
from tests.support.fake_stripe import SIGNING_SECRET, sign
from tests.support.office import Customer, Office
from tests.support.program import JWT_SECRET, Program
from tests.support.tokens import by_hand
from tests.support.whole_api import ADMIN, everything, stripe_in_a_thread

EVIL_HOST = "chosen-by-the-client.example"
# Cases of one kind below this would mean that they were not made.
_ENOUGH = 500
# Written when the ledger process comes to look at the customers that the tests make.
_IN_ITS_OWN_TIME = frozenset(("farebox_balance_watch", "farebox_events", "farebox_deliveries"))


@pytest.fixture(scope="module")
def sections() -> Iterator[dict[str, dict[str, Any]]]:
    with stripe_in_a_thread() as url:
        yield everything(url)


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


def token(user_id: UUID, secret: str = JWT_SECRET, **how: Any) -> str:
    return mint_token(user_id, secret, now_ms=wall_ms(), **how)


@dataclass(frozen=True)
class Sent:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Attacker:
    """Sends as one user, or as an administrator where only those get further than 403; on kept connections."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, user_id: UUID) -> None:
        self._http = http
        self._base_url = base_url
        self.user_token, self.admin_token = token(user_id), token(ADMIN)

    def token_for(self, operation: Operation) -> str | None:
        if operation.scheme != "bearer":
            return None
        return self.admin_token if operation.is_for_admins else self.user_token

    async def send(
        self, operation: Operation, path: str, body: bytes | None, *, content_type: str | None = None, **headers: str
    ) -> Sent:
        """Whatever comes back was not made with the Host that we claim to have asked."""
        said = {"host": EVIL_HOST, "x-forwarded-host": EVIL_HOST, "x-marked": MARK}
        known = self.token_for(operation)
        if known is not None:
            said["authorization"] = f"Bearer {known}"
        if content_type is not None:
            said["content-type"] = content_type
        said |= headers
        if headers.get("authorization") == "":
            del said["authorization"]
        url = URL(self._base_url + path, encoded=True)
        data = None if body is None else io.BytesIO(body)
        async with self._http.request(
            operation.method, url, data=data, headers=said, skip_auto_headers=("content-type",), allow_redirects=False
        ) as answer:
            sent = Sent(answer.status, answer.headers, await answer.read())
        assert EVIL_HOST.encode() not in sent.body and EVIL_HOST not in str(sent.headers), operation.name
        return sent

    async def try_case(self, case: Case) -> tuple[str | None, int]:
        """What is wrong with the answer, None: nothing; and its status."""
        sent = await self.send(case.operation, case.path, case.body, content_type=case.content_type)
        return _fault(case, sent), sent.status


def _fault(case: Case, sent: Sent) -> str | None:
    if sent.status >= 500 and sent.status != 503:
        return f"status {sent.status}"
    if case.must_be_refused and not 400 <= sent.status < 500:
        return f"status {sent.status}, not refused"
    if sent.status == 404 and b'"not_found"' in sent.body:  # no such path at all
        return None
    return case.operation.problem(sent.status, sent.headers, sent.body)


@pytest.fixture
async def description(http: aiohttp.ClientSession, program: Program) -> Description:
    async with http.get(program.base_url + PATH) as answer:
        assert answer.status == 200
        return Description(await answer.json())


@pytest.fixture
async def ana(office: Office) -> Customer:
    return await office.customer()


@pytest.fixture
async def bob(office: Office) -> Customer:
    """The bystander."""
    return await office.customer()


@pytest.fixture
async def attacker(http: aiohttp.ClientSession, program: Program, ana: Customer, office: Office) -> Attacker:
    await office.store.ensure_wallet(ADMIN)
    return Attacker(http, program.base_url, ana.user_id)


async def contents(office: Office) -> dict[str, str]:
    """Of every table a digest, but for what the ledger process keeps in its own time."""
    names = await office.pool.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
    )
    query = "SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM {} AS t"
    tables = [row["relname"] for row in names if row["relname"] not in _IN_ITS_OWN_TIME]
    return {table: await office.pool.fetchval(query.format(table)) for table in tables}


@pytest.fixture(autouse=True)
async def nothing_told(attacker: Attacker, program: Program, ana: Customer, office: Office) -> AsyncIterator[None]:
    """After every test: the logs repeat nothing of what was sent, no process failed, and the books hold."""
    yield
    written = program.logs()
    secrets = (MARK, EVIL_HOST, "DROP TABLE", ana.key, attacker.user_token, attacker.admin_token, JWT_SECRET)
    assert [secret for secret in (*secrets, SIGNING_SECRET) if secret in written] == []
    events = Counter(json.loads(line)["event"] for line in written.splitlines())
    assert "serving" in events
    assert not {"api_failed", "call_failed", "task_failed", "library_log"} & events.keys(), events
    await office.settled()


@pytest.fixture
async def unchanged(office: Office, attacker: Attacker, bob: Customer) -> AsyncIterator[None]:
    """Nothing of anybody may be otherwise after the test."""
    before = await contents(office)
    yield
    assert await contents(office) == before
    assert {"ai_wallets", "ai_api_keys", "ai_transactions"} <= before.keys()


@pytest.mark.usefixtures("unchanged")
async def test_what_the_description_does_not_allow_is_refused_and_changes_nothing(
    attacker: Attacker, description: Description, program: Program
) -> None:
    cases = [case for case in bad_requests(description) if case.must_be_refused]
    tried = [(str(case), *await attacker.try_case(case)) for case in cases]
    faults = [f"{name}: {fault}" for name, fault, _ in tried if fault]
    assert not faults, "\n".join(faults)
    assert len(tried) > _ENOUGH and {400, 404, 413, 415} <= Counter(status for _, _, status in tried).keys()


async def test_what_it_happens_to_allow_is_answered_as_described(
    attacker: Attacker, description: Description, office: Office, bob: Customer
) -> None:
    cases = [case for case in bad_requests(description) if not case.must_be_refused]
    tried = [(str(case), *await attacker.try_case(case)) for case in cases]
    faults = [f"{name}: {fault}" for name, fault, _ in tried if fault]
    assert not faults, "\n".join(faults)
    assert len(tried) > 100 and 200 in {status for _, _, status in tried}
    assert await office.balance_nanos(bob) == bob.start_nanos
    assert [key.is_active for key in await office.keys.of_user(bob.user_id)] == [True]


def bad_tokens(user_id: UUID, key: str) -> dict[str, str]:
    claims = {"iss": "farebox", "sub": str(user_id), "exp": wall_ms() // 1000 + 60}
    return {
        "none": "",
        "only the scheme": "Bearer",
        "another scheme": f"Basic {token(user_id)}",
        "no token": "Bearer x",
        "an API key": f"Bearer {key}",
        "of another secret": f"Bearer {token(user_id, 'another secret, at least 32 characters')}",
        "expired": f"Bearer {token(user_id, ttl=timedelta(hours=-1))}",
        "alg none": f"Bearer {by_hand({'alg': 'none', 'typ': 'JWT'}, claims)}",
        "without a signature": f"Bearer {token(user_id).rpartition('.')[0]}.",
        "two tokens": f"Bearer {token(user_id)} {token(user_id)}",
        "long": f"Bearer {'x' * 12_000}",
        "long, in parts": f"Bearer {'x' * 5_000}.{'y' * 5_000}.z",
    }


@pytest.mark.usefixtures("unchanged")
async def test_without_a_good_token_nothing_is_told_or_done(
    attacker: Attacker, description: Description, ana: Customer
) -> None:
    wrong = []
    for operation in description.operations:
        if operation.scheme != "bearer":
            continue
        body = None if operation.body is None else json.dumps(operation.good_body()).encode()
        for name, authorization in bad_tokens(ana.user_id, ana.key).items():
            sent = await attacker.send(operation, operation.good_path(), body, authorization=authorization)
            if sent.status != 401 or operation.problem(401, sent.headers, sent.body):
                wrong.append((operation.name, name, sent.status))
        for parameter in ("token", "access_token", "authorization", "api_key"):
            path = f"{operation.good_path()}?{parameter}={attacker.token_for(operation)}"
            sent = await attacker.send(operation, path, body, authorization="")
            if sent.status != 401:
                wrong.append((operation.name, parameter, sent.status))
    assert not wrong, wrong


@pytest.mark.usefixtures("unchanged")
async def test_what_is_for_administrators_is_forbidden_to_others_whatever_they_send(
    attacker: Attacker, description: Description
) -> None:
    admins_only = [operation for operation in description.operations if operation.is_for_admins]
    assert admins_only
    for operation in admins_only:
        body = None if operation.body is None else json.dumps(operation.good_body()).encode()
        for sent_body in (body, b"{"):
            sent = await attacker.send(
                operation, operation.good_path(), sent_body, authorization=f"Bearer {attacker.user_token}"
            )
            assert (sent.status, operation.problem(403, sent.headers, sent.body)) == (403, None), operation.name


@pytest.mark.usefixtures("unchanged")
async def test_what_is_somebody_elses_is_not_there(attacker: Attacker, description: Description, bob: Customer) -> None:
    """Every id that a user may send, in a body or a path, as each id that Bob has."""
    tried = 0
    for operation in description.operations:
        if operation.scheme != "bearer" or operation.is_for_admins:
            continue
        fields = [name for name, schema in (operation.body or {}).get("properties", {}).items() if _is_id(schema)]
        for theirs in (bob.key_id, bob.wallet_id, bob.user_id, uuid4()):
            for field in fields:
                body = json.dumps(operation.good_body() | {field: str(theirs)}).encode()
                sent = await attacker.send(operation, operation.good_path(), body)
                assert (sent.status, operation.problem(404, sent.headers, sent.body)) == (404, None), operation.name
                tried += 1
            for name in operation.parameters("path"):
                sent = await attacker.send(operation, operation.path.replace(f"{{{name}}}", str(theirs)), None)
                assert sent.status == 404, operation.name
                tried += 1
    assert tried >= 4


def _is_id(schema: Any) -> bool:
    return schema.get("format") == "uuid" or any(choice.get("format") == "uuid" for choice in schema.get("anyOf", ()))


SIGNED: list[Any] = [
    {}, [], None, 5, "x", {"id": "evt_1"}, {"id": 5, "type": 7, "data": []}, {"type": "checkout.session.completed"},
    {"id": "evt_2", "type": "checkout.session.completed", "created": 1, "data": {"object": None}},
    {"id": "evt_3", "type": "charge.refunded", "created": 1e308, "data": {"object": {"amount_refunded": -5}}},
    {"id": "e" * 60_000, "type": "x" * 60_000, "created": 1, "livemode": False, "data": {"object": {}}},
    {"id": "evt\x00", "type": "\x00", "created": 1, "livemode": False, "data": {"object": {"id": "\x00"}}},
]  # fmt: skip


@pytest.mark.usefixtures("unchanged")
async def test_an_event_that_is_not_signed_for_is_not_believed(attacker: Attacker, description: Description) -> None:
    (hook,) = (operation for operation in description.operations if operation.scheme == "signature")
    now_s = wall_ms() // 1000
    event = {"id": "evt_9", "object": "event", "type": "x", "created": now_s, "data": {"object": {}}, "livemode": False}
    payload, good = sign(event, SIGNING_SECRET, now_s)
    stale = sign(event, SIGNING_SECRET, now_s - 3600)[1]
    for signature in (
        "",
        "x",
        "t=1",
        good[:-1],
        good.replace("v1", "v0"),
        stale,
        good * 100,
        "v1=,t=",
        sign(event, "whsec_x", now_s)[1],
    ):
        sent = await attacker.send(hook, hook.path, payload, **{"stripe-signature": signature})
        assert (sent.status, json.loads(sent.body)["code"]) == (400, "invalid_signature"), signature
    sent = await attacker.send(hook, hook.path, payload)
    assert sent.status == 400


async def test_a_signed_event_that_is_nonsense_is_survived(attacker: Attacker, description: Description) -> None:
    (hook,) = (operation for operation in description.operations if operation.scheme == "signature")
    for event in [*SIGNED, b"", b"{", b"[" * 50_000, b'{"a":' * 50_000]:
        payload, signature = sign(
            event if isinstance(event, bytes) else json.dumps(event).encode(), at_s=wall_ms() // 1000
        )
        sent = await attacker.send(hook, hook.path, payload, **{"stripe-signature": signature})
        assert sent.status in (200, 400), (sent.status, event)
        assert hook.problem(sent.status, sent.headers, sent.body) is None


async def test_a_user_token_buys_nothing_at_the_gateway(attacker: Attacker, call: Caller) -> None:
    for bearer in (attacker.user_token, attacker.admin_token):
        answer = await call.post(chat(), headers={"authorization": f"Bearer {bearer}"})
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


async def test_a_path_that_is_not_there_is_said_to_be_in_the_shape_of_the_account_api(
    attacker: Attacker, description: Description
) -> None:
    known = {(operation.method, operation.path) for operation in description.operations}
    operation = description.operations[0]
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        for path in ("/api/ai-api/keys", "/api/ai-api/nothing", "/api/ai-api/keys/"):
            if (method, path) in known:
                continue
            asked = Operation(description, method, path, operation.tree)
            sent = await attacker.send(asked, path, None)
            assert (sent.status, set(json.loads(sent.body))) == (404, {"error", "code"})
            assert sent.headers["x-request-id"]
