"""`/api/ai-api/notifications`: what a user is told by mail, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from accounts.api.answers import dollars
from accounts.api.fields import Body, NonNegativeAmount
from accounts.api.requests import parse_body, read_body
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Answer, Dollars
from accounts.notices.preferences import Choices, Preferences
from runtime.mail_address import ADDRESS_PATTERN, MAX_ADDRESS_CHARS, is_mail_address
from runtime.settings.notices import EVENT_KINDS, EventKind

PATH = "/api/ai-api/notifications"


def _address(text: str) -> str:
    if not is_mail_address(text):
        raise ValueError("must be a mail address")
    return text


_ADDRESS_SCHEMA = {
    "type": "string",
    "maxLength": MAX_ADDRESS_CHARS,
    "pattern": ADDRESS_PATTERN,
    "examples": ["ann@example.com"],
}
MailAddress = Annotated[
    str, Field(max_length=MAX_ADDRESS_CHARS), AfterValidator(_address), WithJsonSchema(_ADDRESS_SCHEMA)
]


class ChoicesBody(Body):
    """What is left out stays as it is; null takes a choice back."""

    email: MailAddress | None = None
    lowBalanceThreshold: NonNegativeAmount | None = None
    emailEvents: list[EventKind] | None = Field(default=None, max_length=len(EVENT_KINDS))


class ChoicesAnswer(Answer):
    """The user's own; null: none."""

    email: str | None
    lowBalanceThreshold: Dollars | None
    emailEvents: list[EventKind] | None


class InForceAnswer(Answer):
    """What counts."""

    email: Annotated[str | None, Field(description="the user's choice, or what the user's tokens tell")]
    lowBalanceThreshold: Annotated[Dollars, Field(description="0: only an empty wallet is told of")]
    emailEvents: list[EventKind]
    mails: Annotated[bool, Field(description="whether mails are sent here at all")]


class NotificationsAnswer(Answer):
    success: bool
    notifications: ChoicesAnswer
    inForce: InForceAnswer


@dataclass(frozen=True, slots=True)
class NotificationRoutes:
    """`threshold_nanos` is for users who have set none; `has_mail`: a mail server is configured."""

    preferences: Preferences
    threshold_nanos: int
    has_mail: bool

    def routes(self) -> list[Route]:
        return [
            Route("GET", PATH, Access.USER, self.show, "What you are told by mail, and where",
                answer=NotificationsAnswer),
            Route("PUT", PATH, Access.USER, self.choose, "Choose what you are told by mail, and where",
                body=ChoicesBody, answer=NotificationsAnswer),
        ]  # fmt: skip

    async def show(self, call: Call) -> Any:
        return self._shown(await self.preferences.of_user(call.user.user_id), call.user.email)

    async def choose(self, call: Call) -> Any:
        asked = parse_body(ChoicesBody, await read_body(call.request))
        named = {
            "email": asked.email,
            "lowBalanceThreshold": asked.lowBalanceThreshold,
            "emailEvents": _in_order(asked.emailEvents),
        }
        names = {"lowBalanceThreshold": "low_balance_nanos", "emailEvents": "email_events"}
        changes = {names.get(name, name): named[name] for name in asked.model_fields_set}
        return self._shown(await self.preferences.choose(call.user.user_id, changes), call.user.email)

    def _shown(self, own: Choices, token_email: str | None) -> dict[str, Any]:
        events = None if own.email_events is None else list(own.email_events)
        threshold = self.threshold_nanos if own.low_balance_nanos is None else own.low_balance_nanos
        return {
            "success": True,
            "notifications": {
                "email": own.email,
                "lowBalanceThreshold": None if own.low_balance_nanos is None else dollars(own.low_balance_nanos),
                "emailEvents": events,
            },
            "inForce": {
                "email": own.email or token_email or own.token_email,
                "lowBalanceThreshold": dollars(threshold),
                "emailEvents": list(EVENT_KINDS) if events is None else events,
                "mails": self.has_mail,
            },
        }


def _in_order(events: Sequence[EventKind] | None) -> list[EventKind] | None:
    """Each once."""
    return None if events is None else [kind for kind in EVENT_KINDS if kind in events]
