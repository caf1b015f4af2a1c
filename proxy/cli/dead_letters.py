"""`farebox dead-letters`: usage events that could not be posted, and what becomes of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import click

from accounts.dead_letters import DeadLetter, DeadLetters
from accounts.errors import AccountsError
from accounts.filters import MAX_LIMIT
from accounts.pages import DEFAULT_LIMIT
from proxy.backends import open_pool
from proxy.cli.options import config_option, json_option, operator, print_result, run
from runtime.config import load_as
from runtime.settings import DatabaseConfig

_FAILED = 1
_reason_option = click.option("--reason", default="", help="Why, for the log of what operators did.")


@asynccontextmanager
async def _dead_letters(path: Path | None) -> AsyncIterator[DeadLetters]:
    pool = await open_pool(load_as(DatabaseConfig, path).database, "farebox-cli")
    try:
        yield DeadLetters(pool)
    finally:
        await pool.close()


@click.group("dead-letters")
def dead_letters() -> None:
    """Usage that could not be posted: nobody was charged for it yet. EVENT is an event's id, or its number."""


@dead_letters.command("list")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=DEFAULT_LIMIT, show_default=True)
@click.option("--before", type=click.IntRange(1), help="The number that the page before ended with.")
@config_option
@json_option
def list_letters(limit: int, before: int | None, config: Path | None, as_json: bool) -> None:
    """What was set aside, newest first."""

    async def work() -> list[DeadLetter]:
        async with _dead_letters(config) as letters:
            return await letters.page(before, limit)

    found = run(work())
    lines = [*map(_line, found)] or ["nothing was set aside"]
    if len(found) == limit:
        lines.append(f"\nmore: --before {found[-1].number}")
    print_result({"dead_letters": [asdict(letter) for letter in found]}, as_json, "\n".join(lines))


@dead_letters.command("show")
@click.argument("event")
@config_option
@json_option
def show_letter(event: str, config: Path | None, as_json: bool) -> None:
    """One event whole, as it came."""

    async def work() -> list[DeadLetter]:
        async with _dead_letters(config) as letters:
            return await letters.find(event)

    found = run(work())
    text = "\n".join(f"{_line(letter)}\n{letter.payload}" for letter in found)
    print_result({"dead_letters": [asdict(letter) for letter in found]}, as_json, text)


def _line(letter: DeadLetter) -> str:
    return f"{letter.number:>6}  {letter.created_at:%Y-%m-%d %H:%M:%S}  {letter.event_id}  {letter.reason}"


@dead_letters.command("post")
@click.argument("events", nargs=-1, required=True, metavar="EVENT...")
@_reason_option
@config_option
@json_option
def post_letters(events: tuple[str, ...], reason: str, config: Path | None, as_json: bool) -> None:
    """Try again what you have mended the cause of: posted as any other usage, once. Fails if one still is not."""

    async def post(letters: DeadLetters, event: str) -> str:
        return await letters.post(event, reason, operator())

    _act_on_each(events, post, config, as_json)


@dead_letters.command("drop")
@click.argument("events", nargs=-1, required=True, metavar="EVENT...")
@click.option("--reason", required=True, help="Why, for the log of what operators did.")
@config_option
@json_option
def drop_letters(events: tuple[str, ...], reason: str, config: Path | None, as_json: bool) -> None:
    """Give up on an event: nobody is charged for it. The log keeps it."""

    async def drop(letters: DeadLetters, event: str) -> str:
        await letters.drop(event, reason, operator())
        return "dropped"

    _act_on_each(events, drop, config, as_json)


def _act_on_each(
    events: tuple[str, ...],
    act: Callable[[DeadLetters, str], Awaitable[str]],
    config: Path | None,
    as_json: bool,
) -> None:
    """One after the other; what cannot be done does not keep the others from being done."""

    async def work() -> tuple[dict[str, str], dict[str, str]]:
        done: dict[str, str] = {}
        failed: dict[str, str] = {}
        async with _dead_letters(config) as letters:
            for event in dict.fromkeys(events):
                try:
                    done[event] = await act(letters, event)
                except AccountsError as error:
                    failed[event] = str(error)
        return done, failed

    done, failed = run(work())
    text = [f"{event}: {said}" for event, said in done.items()] + [f"FAILED  {said}" for said in failed.values()]
    print_result({"done": done, "failed": failed}, as_json, "\n".join(text))
    if failed:
        raise SystemExit(_FAILED)


COMMANDS = (dead_letters,)
