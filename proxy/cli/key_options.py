"""What the commands for keys share: the options that say what a key may do, and how a key is printed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from accounts import key_lists
from accounts.api.fields import Name
from accounts.api.key_shapes import MAX_CONCURRENT_REQUESTS, MAX_REQUESTS, MAX_TOKENS_PER_MINUTE
from accounts.keys import ApiKey
from ledger.money import format_dollars
from proxy.cli.options import Dollars, Moment

_REQUESTS = click.IntRange(1, MAX_REQUESTS)
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class KeyName(click.ParamType[str]):
    """What people call a key: plain text on one line."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return _NAME.validate_python(value)
        except ValidationError as error:
            self.fail(error.errors()[0]["msg"].removeprefix("Value error, "), param, ctx)


class Budget(Dollars):
    """Dollars, more than nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        nanos = super().convert(value, param, ctx)
        if nanos <= 0:
            self.fail("must be more than 0", param, ctx)
        return nanos


@dataclass(frozen=True, slots=True)
class Setting:
    """An option, and the field of NewKey that it sets; `parse` makes one value of all that were given."""

    option: str
    field: str
    type: Any
    help: str
    parse: Callable[[Any], Any] | None = None


SETTINGS = (
    Setting("rpm", "requests_per_minute", _REQUESTS, "Requests per minute."),
    Setting("rpd", "requests_per_day", _REQUESTS, "Requests per day."),
    Setting("expires", "expires_at", Moment(), "When it ends."),
    Setting("model", "allowed_models", str, "Only this model, or all that begin so: gpt-*.", key_lists.models),
    Setting("route", "allowed_routes", str, "Only this route: /v1/chat/completions.", key_lists.routes),
    Setting("ip", "allowed_ips", str, "Only from this address or network.", key_lists.networks),
    Setting("tpm", "tokens_per_minute", click.IntRange(1, MAX_TOKENS_PER_MINUTE), "Tokens per minute."),
    Setting("concurrency", "max_concurrent_requests", click.IntRange(1, MAX_CONCURRENT_REQUESTS), "Requests at once."),
    Setting("budget-daily", "budget_daily_nanos", Budget(), "Dollars per day."),
    Setting("budget-monthly", "budget_monthly_nanos", Budget(), "Dollars per month."),
    Setting("budget-total", "budget_total_nanos", Budget(), "Dollars in all."),
)
# Every key has these two.
CLEARABLE = {s.option: s.field for s in SETTINGS if s.option not in ("rpm", "rpd")}


def setting_options(command: Any) -> Any:
    for setting in reversed(SETTINGS):
        several = setting.parse is not None
        text = f"{setting.help} May be given several times." if several else setting.help
        # the default is None where it was not said, which is not the same as a value
        names = (f"--{setting.option}", setting.field)
        command = click.option(*names, type=setting.type, multiple=several, help=text)(command)
    return command


def given(settings: dict[str, Any]) -> dict[str, Any]:
    """What was said, by fields of NewKey; raises BadParameter for a list that is none."""
    found = {}
    for setting in SETTINGS:
        value = settings[setting.field]
        if value is None or value == ():
            continue
        try:
            found[setting.field] = setting.parse(value) if setting.parse else value
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=f"--{setting.option}") from None
    return found


def key_lines(row: ApiKey) -> str:
    used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
    limits = f"{row.rate_limit_per_minute}/min {row.rate_limit_per_day}/day"
    line = f"{row.id}  {row.key_prefix}…  {_state(row):8}  {limits}  {used}  {row.name}"
    return "\n".join([line, *(f"    {restriction}" for restriction in _restrictions(row))])


def _state(row: ApiKey) -> str:
    states = {
        "revoked": not row.is_active,
        "expired": row.is_expired,
        "frozen": row.is_frozen,
        "replaced": row.is_replaced,
    }
    return next((state for state, is_so in states.items() if is_so), "active")


def _restrictions(row: ApiKey) -> list[str]:
    """What narrows a key beyond requests, in words."""
    budgets = (("day", row.budget_daily_nanos), ("month", row.budget_monthly_nanos), ("in all", row.budget_total_nanos))
    ips = row.allowed_ips
    said = {
        "models": row.allowed_models,
        "routes": row.allowed_routes,
        "from": None if ips is None else [key_lists.show_network(network) for network in ips],
        "tokens per minute": None if row.tokens_per_minute is None else [str(row.tokens_per_minute)],
        "at once": None if row.max_concurrent_requests is None else [str(row.max_concurrent_requests)],
        "dollars": [f"{format_dollars(nanos)} {period}" for period, nanos in budgets if nanos is not None] or None,
        "until": None if row.expires_at is None else [f"{row.expires_at:%Y-%m-%d %H:%M} UTC"],
        "replaces": None if row.rotated_from is None else [str(row.rotated_from)],
    }
    return [f"{what} {' '.join(values) or 'none'}" for what, values in said.items() if values is not None]
