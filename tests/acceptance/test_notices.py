"""Events reach the shop's endpoint and their owner's mailbox, by the running program; operators see them and replay."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from click.testing import CliRunner

from accounts.identity import mint_token
from proxy.cli import cli
from runtime.clock import wall_ms
from tests.support.events import SECRET, Endpoint, endpoint, is_signed
from tests.support.installation import free_port
from tests.support.ledger import until
from tests.support.mail_server import Mailbox, mail_server
from tests.support.office import Office
from tests.support.people import Person
from tests.support.program import JWT_SECRET, Program

ADMIN = UUID("0a0a0a0a-0000-4000-8000-000000000001")
NOTIFICATIONS, KEYS = "/api/ai-api/notifications", "/api/ai-api/keys"
EVENTS = "/api/ai-api/admin/events"
# Nobody listens at first: what is sent then comes again.
HOOK_PORT, MAIL_PORT = free_port(), free_port()


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    url = f"http://127.0.0.1:{HOOK_PORT}/hook?token=part-of-the-address"
    return {
        "identity": {"jwt_secret": JWT_SECRET, "admin_user_ids": [str(ADMIN)]},
        "log": {"level": "debug"},
        "notices": {
            "webhooks": [{"name": "shop", "url": url, "secrets": [SECRET]}],
            "smtp": {"host": "127.0.0.1", "port": MAIL_PORT, "tls": "none", "from": "Shop <billing@example.com>"},
            "site_name": "Shop",
        },
    }


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


@pytest.fixture
async def hook() -> AsyncIterator[Endpoint]:
    async with endpoint(HOOK_PORT) as made:
        yield made


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    made = Mailbox()
    async with mail_server(made, MAIL_PORT):
        yield made


People = Callable[..., Person]


@pytest.fixture
def person(http: aiohttp.ClientSession, program: Program) -> People:
    """Somebody whose token tells an address, if any is given."""

    def make(user_id: UUID | None = None, email: str | None = None) -> Person:
        made = Person(http, program.base_url, user_id or uuid4())
        token = mint_token(made.user_id, JWT_SECRET, now_ms=wall_ms(), email=email)
        made.auth = {"authorization": f"Bearer {token}"}
        return made

    return make


def bodies(hook: Endpoint, user_id: UUID) -> list[Any]:
    """What the endpoint was told about one user, signed."""
    found = [(headers, body) for headers, body in hook.received if str(user_id).encode() in body]
    assert all(is_signed(headers, body) for headers, body in found)
    return [json.loads(body) | {"id": headers["webhook-id"]} for headers, body in found]


def mails(mailbox: Mailbox, address: str) -> list[Any]:
    return [message_from_bytes(raw, policy=policy.SMTP) for _, to, raw, _ in mailbox.taken if to == [address]]


async def become(reached: Callable[[], bool]) -> None:
    async def is_reached() -> bool:
        return reached()

    await until(is_reached)


async def revoked_key(someone: Person, name: str = "laptop") -> str:
    status, made = await someone("POST", KEYS, {"name": name})
    assert status == 200
    assert (await someone("DELETE", KEYS, {"keyId": made["id"]}))[0] == 200
    return str(made["id"])


async def test_a_revoked_key_is_told_to_the_shop_and_to_its_owner(
    program: Program, person: People, hook: Endpoint, mailbox: Mailbox
) -> None:
    address = f"ann-{uuid4().hex[:8]}@example.com"
    ann = person(email=address)
    key_id = await revoked_key(ann, "<b>laptop</b>")
    await become(lambda: bool(bodies(hook, ann.user_id) and mails(mailbox, address)))
    (told,) = bodies(hook, ann.user_id)
    assert told["type"] == "key.revoked" and told["data"]["key_id"] == key_id
    (mail,) = mails(mailbox, address)
    assert mail["Message-ID"] == f"<{told['id']}@example.com>"
    assert mail["From"].addresses[0].display_name == "Shop"
    text, html = (part.get_content() for part in mail.iter_parts())
    assert "<b>laptop</b>" in text and "&lt;b&gt;laptop" in html
    said = program.logs()
    for secret in (address, SECRET, "part-of-the-address", "laptop", "v1,"):
        assert secret not in said


async def test_a_low_balance_is_told_by_the_users_own_threshold(office: Office, person: People, hook: Endpoint) -> None:
    customer = await office.customer()
    ann = person(customer.user_id)
    status, answer = await ann("PUT", NOTIFICATIONS, {"lowBalanceThreshold": 8})
    assert status == 200 and answer["inForce"]["lowBalanceThreshold"] == 8
    await office.wallets.set_balance(customer.user_id, 7_500_000_000, "spent", str(ADMIN))
    await become(lambda: bool(bodies(hook, ann.user_id)))
    (told,) = bodies(hook, ann.user_id)
    assert told["type"] == "balance.low"
    assert told["data"] == {
        "user_id": str(ann.user_id), "wallet_id": str(customer.wallet_id),
        "balance": "7.5", "threshold": "8", "currency": "USD",
    }  # fmt: skip


async def test_what_a_user_chooses_is_kept_and_can_be_taken_back(person: People) -> None:
    ann = person(email="token@example.com")
    status, answer = await ann("GET", NOTIFICATIONS)
    default = answer["inForce"]["emailEvents"]
    assert status == 200 and answer["notifications"] == dict.fromkeys(("email", "lowBalanceThreshold", "emailEvents"))
    assert answer["inForce"] == {
        "email": "token@example.com", "lowBalanceThreshold": 5, "emailEvents": default, "mails": True,
    }  # fmt: skip
    chosen = {"email": "own@example.com", "lowBalanceThreshold": 0.5, "emailEvents": ["balance.empty", "balance.low"]}
    await ann("PUT", NOTIFICATIONS, chosen)
    _, answer = await ann("PUT", NOTIFICATIONS, {})
    assert answer["inForce"]["email"] == "own@example.com"
    assert answer["notifications"]["emailEvents"] == ["balance.low", "balance.empty"]
    assert str(answer["notifications"]["lowBalanceThreshold"]) == "0.5"
    _, answer = await ann("PUT", NOTIFICATIONS, {"email": None, "emailEvents": []})
    assert (answer["inForce"]["email"], answer["inForce"]["emailEvents"]) == ("token@example.com", [])
    assert (await person()("GET", NOTIFICATIONS))[1]["inForce"]["email"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"email": "nobody"},
        {"email": "a@example.com\r\nBcc: b@example.com"},
        {"email": "a@example.com, b@example.com"},
        {"email": 5},
        {"lowBalanceThreshold": -1},
        {"lowBalanceThreshold": "5"},
        {"lowBalanceThreshold": 1e300},
        {"emailEvents": ["balance.gone"]},
        {"emailEvents": "balance.low"},
        {"emailEvents": ["balance.low"] * 6},
        {"tokenEmail": "a@example.com"},
        [],
    ],
)
async def test_what_cannot_be_chosen_changes_nothing(person: People, body: Any) -> None:
    ann = person()
    before = await ann("PUT", NOTIFICATIONS, {"email": "own@example.com"})
    status, answer = await ann("PUT", NOTIFICATIONS, body)
    assert (status, answer["code"]) == (400, "invalid_request")
    assert await ann("GET", NOTIFICATIONS) == before


async def test_an_administrator_sees_an_event_and_has_it_told_once_more(person: People, hook: Endpoint) -> None:
    ann, admin = person(), person(ADMIN)
    await revoked_key(ann)
    await become(lambda: len(bodies(hook, ann.user_id)) == 1)
    (told,) = bodies(hook, ann.user_id)

    async def is_noted() -> bool:
        _, answer = await admin("GET", EVENTS, params={"userId": str(ann.user_id), "state": "delivered"})
        return bool(answer["events"])

    await until(is_noted)
    _, answer = await admin("GET", EVENTS, params={"userId": str(ann.user_id)})
    (event,) = answer["events"]
    assert event["id"] == told["id"] and event["kind"] == "key.revoked" and event["facts"]["name"] == "laptop"
    (delivery,) = event["deliveries"]
    assert (delivery["channel"], delivery["state"], delivery["attempts"]) == ("webhook:shop", "delivered", 1)
    status, answer = await admin("POST", f"{EVENTS}/replay", {"eventId": event["id"]})
    assert (status, answer["replayed"]) == (200, 1)
    await become(lambda: len(bodies(hook, ann.user_id)) == 2)
    assert bodies(hook, ann.user_id) == [told, told]


async def test_who_may_not_see_events(person: People) -> None:
    for method, path, body in (("GET", EVENTS, None), ("POST", f"{EVENTS}/replay", {})):
        assert (await person()(method, path, body))[0] == 403
    admin = person(ADMIN)
    assert code_of(await admin("POST", f"{EVENTS}/replay", {"eventId": str(uuid4())})) == (404, "event_not_found")
    assert code_of(await admin("POST", f"{EVENTS}/replay", {"channel": "pigeon"})) == (400, "invalid_request")
    assert code_of(await admin("GET", EVENTS, params={"kind": "balance.gone"})) == (400, "invalid_request")
    assert code_of(await admin("GET", EVENTS, params={"cursor": "x"})) == (400, "invalid_request")


def code_of(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["code"]


async def test_the_command_line_lists_shows_and_replays(program: Program, person: People, hook: Endpoint) -> None:
    ann = person()
    await revoked_key(ann)
    await become(lambda: len(bodies(hook, ann.user_id)) == 1)
    (told,) = bodies(hook, ann.user_id)

    async def farebox(*arguments: object) -> str:
        # in a thread, as each command runs a loop of its own
        given = [*map(str, arguments), "--config", str(program.config)]
        ended = await asyncio.to_thread(CliRunner().invoke, cli, given)
        assert ended.exit_code == 0, ended.output
        return ended.output

    (listed,) = json.loads(await farebox("events", "list", "--user", ann.user_id, "--json"))["events"]
    assert listed["id"] == told["id"]
    assert told["id"] in await farebox("events", "list", "--kind", "key.revoked")
    assert "webhook:shop" in await farebox("events", "show", told["id"])
    assert json.loads(await farebox("events", "replay", told["id"], "--json")) == {"replayed": 1}
    assert "tried again" in await farebox("events", "replay", "--dead", "--channel", "webhook:nobody")
    await become(lambda: len(bodies(hook, ann.user_id)) == 2)
