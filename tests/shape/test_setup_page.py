"""What docs/SETUP.md tells an operator to type is what the program takes; links in the documents lead somewhere."""

import re
from pathlib import Path
from textwrap import dedent

import click
import pytest
import yaml

from accounts.stripe.events import EVENT_TYPES
from proxy.cli import cli
from runtime.config import load
from tests.shape.tree import ROOT

PAGE = (ROOT / "docs" / "SETUP.md").read_text()
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]*\bfarebox [^`\n]+)`")
_COMMAND = re.compile(r"(?:^|[ (])farebox ([^#)\n]+)", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")
ENVIRONMENT = {
    "FAREBOX_DATABASE_URL": "postgresql://farebox:password@127.0.0.1/farebox",
    "FAREBOX_REDIS_URL": "redis://default:password@127.0.0.1/0",
    "FAREBOX_KEY_PEPPER": "p" * 32,
    "FAREBOX_JWT_SECRET": "j" * 32,
    "FAREBOX_UPSTREAM_URL": "http://127.0.0.1:8000/v1",
    "EVENTS_SECRET": "whsec_" + "QUFB" * 8,
    "SMTP_PASSWORD": "password",
}


def blocks(kind: str) -> list[str]:
    return [dedent(text) for _, of_kind, text in _BLOCK.findall(PAGE) if of_kind == kind]


def commands() -> list[list[str]]:
    """Every `farebox …` that is typed, in words; what stands in quotes may be several."""
    typed = "\n".join([*blocks("sh"), *_INLINE.findall(PAGE)]).replace("\\\n", " ")
    return [words.split() for words in _COMMAND.findall(typed)]


def fault(words: list[str]) -> str | None:
    """What the program would not take; None: nothing."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        name, *words = words
        if (found := command.get_command(click.Context(command), name)) is None:
            return f"there is no {name}"
        command = found
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
    return next((f"no {word}" for word in words if word.startswith("-") and word not in known), None)


@pytest.mark.parametrize("fragment", blocks("yaml"))
def test_a_fragment_of_the_configuration_is_good(fragment: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"upstreams": [{"url": "${FAREBOX_UPSTREAM_URL}"}]} | yaml.safe_load(fragment)))
    load(path, ENVIRONMENT)


def test_there_are_fragments_for_every_provider() -> None:
    identities = [yaml.safe_load(text)["identity"] for text in blocks("yaml") if text.startswith("identity:")]
    assert len(identities) == 5  # Supabase twice
    assert all("issuer" in found and ("audience" in found or "authorized_parties" in found) for found in identities)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_is_one_that_there_is(words: list[str]) -> None:
    assert fault(words) is None


def test_there_are_commands() -> None:
    assert len(commands()) > 20


@pytest.mark.parametrize("words", [["nothing"], ["keys", "nothing"], ["keys", "create", "--nothing"], ["audit", "-x"]])
def test_a_fault_is_found(words: list[str]) -> None:
    assert fault(words)


def test_stripe_is_asked_for_the_events_that_are_dealt_with_and_no_others() -> None:
    (listed,) = (text.split() for text in blocks("text") if "checkout.session.completed" in text)
    assert sorted(listed) == sorted(EVENT_TYPES)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []
