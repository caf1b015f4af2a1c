"""docs/DEPLOYING.md, followed to the letter on one machine: from a clone to the first paid request, and a restart.

In place of systemd stands `tests.support.service_manager`, which reads the same units; in place of what would be
fetched from elsewhere, a copy of this tree and the packages that are here.
"""

import asyncio
import os
import re
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from runtime.embedded.postgres import EmbeddedPostgres
from tests.shape.tree import ROOT
from tests.support.installation import free_port
from tests.support.program import TINY, UPSTREAM_KEY, Program, environment
from tests.support.servers import with_database
from tests.support.service_manager import ServiceManager
from tests.support.waiting import UNTIL_TIMEOUT_S

_BLOCK = re.compile(r"^```(sh|env)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TREE = ("proxy", "accounts", "metering", "ledger", "runtime", "deploy", "config.yaml", "Makefile")
_FAREBOX = """#!/bin/sh
PYTHONPATH={clone} exec {python} -m proxy "$@"
"""

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl; .ci/run installs it")


def blocks(heading: str) -> list[tuple[str, str]]:
    """What is typed under a heading of the page, and what is written into files there."""
    page = (ROOT / "docs" / "DEPLOYING.md").read_text()
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return _BLOCK.findall(section)


class Machine:
    """Folders in place of /opt, /etc and /var; `filled_in` has what the page leaves open, and ports that are free."""

    def __init__(self, folder: Path, manager: ServiceManager, filled_in: dict[str, str]) -> None:
        self._folder = folder
        self._manager = manager
        self._filled_in = filled_in
        self.session = ""
        for name in ("opt", "etc/systemd/system", "var/lib/farebox", "var/lib/farebox-ledger"):
            (folder / name).mkdir(parents=True)
        farebox = folder / "farebox"
        farebox.write_text(_FAREBOX.format(clone=folder / "opt/farebox", python=sys.executable))
        farebox.chmod(0o755)
        self._stand_in("git", f'mkdir "$3" && cd {ROOT} && cp -r {" ".join(_TREE)} "$3"')
        self._stand_in("make", f"mkdir -p .venv/bin && cp {farebox} .venv/bin/farebox")

    def _stand_in(self, name: str, does: str) -> None:
        path = self._manager.bin / name
        path.write_text(f"#!/bin/sh\nset -e\n{does}\n")
        path.chmod(0o755)

    def as_here(self, text: str) -> str:
        for there, here in self._filled_in.items():
            text = text.replace(there, here)
        return re.sub(r"(?<![\w/])/(opt|etc|var/lib)/", rf"{self._folder}/\1/", text)

    async def types(self, text: str) -> str:
        """Everything in one shell, in which each line must succeed; what it printed."""
        clone = self._folder / "opt" / "farebox"
        shell = await asyncio.create_subprocess_exec(
            "bash",
            "-euc",
            self.as_here(f"{self.session}\n{text}"),
            env=environment() | {"PATH": f"{self._manager.bin}:{os.environ['PATH']}"},
            cwd=clone if clone.exists() else self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(2 * UNTIL_TIMEOUT_S):
            said = (await shell.communicate())[0].decode()
        assert shell.returncode == 0, said
        return said

    def writes(self, name: str, text: str) -> None:
        """Into a file that is there, as the page has had it made."""
        with (self._folder / name).open("r+") as file:
            file.write(self.as_here(text))


@pytest.fixture
async def empty_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"deployed_{secrets.token_hex(8)}"
    connection = await asyncpg.connect(postgres_server.url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        yield with_database(postgres_server.url, name)
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


async def test_the_page_leads_from_a_clone_to_a_paid_request_and_through_a_restart(
    program: Program, empty_database: str, redis_url: str, tmp_path: Path
) -> None:
    filled_in = {
        "postgresql://farebox:PASSWORD@127.0.0.1:5432/farebox": empty_database,
        "redis://default:PASSWORD@127.0.0.1:6379/0": redis_url,
        "RANDOM": secrets.token_hex(24),
        "http://127.0.0.1:8000/v1": program.upstream_url,
        "FAREBOX_UPSTREAM_API_KEY=": f"FAREBOX_UPSTREAM_API_KEY={UPSTREAM_KEY}",
        "MODEL": TINY,
        "8080": str(free_port()),
        "8081": str(free_port()),
    }
    typed = blocks("On machines with systemd")
    assert [kind for kind, _ in typed] == ["sh", "env", "sh", "sh"]
    everything = "".join(text for _, text in typed)
    assert [each for each in filled_in if each not in everything] == []
    (_, clone), (_, secret), (_, start), (_, ask) = typed
    async with ServiceManager(tmp_path, tmp_path / "etc/systemd/system") as manager:
        machine = Machine(tmp_path, manager, filled_in)
        await machine.types(clone)
        machine.writes("etc/farebox/farebox.env", secret)
        before, daemon_reload, after = start.partition("systemctl daemon-reload\n")
        machine.session = before.splitlines()[0]  # what stays in the shell of who types
        assert machine.session == "set -a; . /etc/farebox/farebox.env; set +a"
        await machine.types(before)
        for path in manager.units.iterdir():
            path.write_text(machine.as_here(path.read_text()))
        said = await machine.types(daemon_reload + after)
        assert said.count('"status":"ok"') == 2
        said = await machine.types(ask)
        assert '"finish_reason":' in said and said.endswith("the books are right\n")
        assert len(manager.running) == 3
        ((_, restart),) = blocks("Restarting without losing a request")
        await machine.types(restart)
        assert manager.exit_codes == [0, 0, 0]
        said = await machine.types(after.splitlines()[-1])
        assert said.count('"status":"ok"') == 2
