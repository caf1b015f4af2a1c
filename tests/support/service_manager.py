"""As much of systemd as our units use: `systemctl enable --now` and `restart` start a unit's command with its
environment, wait until it says that it is ready, and stop it within its time. Nothing is shut in.
"""

import asyncio
import json
import re
import shlex
import socket
import sys
from pathlib import Path

from runtime.processes import Child, start_child
from tests.support.program import environment
from tests.support.waiting import UNTIL_TIMEOUT_S, until

_SYSTEMCTL = """#!{python}
import json, socket, sys
with socket.socket(socket.AF_UNIX) as manager:
    manager.connect({address!r})
    manager.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    sys.exit(int(manager.makefile().readline()))
"""


class Unit:
    """A file of settings; `%i` stands for what is behind the @ of an instance's name."""

    def __init__(self, folder: Path, name: str) -> None:
        kind, at, instance = name.partition("@")
        text = (folder / f"{kind}{at}.service").read_text().replace("%i", instance)
        self.settings: dict[str, list[str]] = {}
        for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
            self.settings.setdefault(key, []).append(value)

    def one(self, key: str) -> str:
        (value,) = self.settings[key]
        return value

    @property
    def environment(self) -> dict[str, str]:
        lines = Path(self.one("EnvironmentFile")).read_text().splitlines()
        given = [word for value in self.settings.get("Environment", []) for word in shlex.split(value)]
        return dict(entry.split("=", 1) for entry in [*lines, *given])


class ServiceManager:
    """`async with` it; `bin` is a folder with `systemctl`, to be found before others, `units` where units are put."""

    def __init__(self, folder: Path, units: Path) -> None:
        self.bin = folder / "bin"
        self.units = units
        self.running: dict[str, Child] = {}
        self.exit_codes: list[int] = []
        self._folder = folder
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "ServiceManager":
        self.bin.mkdir(exist_ok=True)
        address = str(self._folder / "systemctl.socket")
        self._server = await asyncio.start_unix_server(self._serve, address)
        systemctl = self.bin / "systemctl"
        systemctl.write_text(_SYSTEMCTL.format(python=sys.executable, address=address))
        systemctl.chmod(0o755)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*(child.stop() for child in self.running.values()))

    def log_of(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, *names = json.loads(await reader.readline())
        try:
            await self._do(verb, [name for name in names if not name.startswith("-")])
            writer.write(b"0\n")
        except Exception as error:
            print(f"systemctl {verb} {names}: {error!r}", file=sys.stderr)  # noqa: T201 - pytest shows it
            writer.write(b"1\n")
        await writer.drain()
        writer.close()

    async def _do(self, verb: str, names: list[str]) -> None:
        assert verb in ("daemon-reload", "enable", "restart"), verb
        for name in names:
            unit = Unit(self.units, name)
            if verb == "restart":
                await self._stop(name, float(unit.one("TimeoutStopSec")))
            await self._start(name, unit)

    async def _start(self, name: str, unit: Unit) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            address = self._folder / f"notify-{name}"
            address.unlink(missing_ok=True)
            told.bind(str(address))
            told.setblocking(False)
            env = environment() | unit.environment | {"NOTIFY_SOCKET": str(address)}
            argv, log = shlex.split(unit.one("ExecStart")), self.log_of(name)
            child = start_child(argv, name=name, env=env, cwd=Path(unit.one("WorkingDirectory")), log_path=log)
            self.running[name] = child
            if unit.one("Type") == "notify":
                async with asyncio.timeout(UNTIL_TIMEOUT_S):
                    while await asyncio.get_running_loop().sock_recv(told, 100) != b"READY=1":
                        pass
            else:
                await until(lambda: log.exists() and log.stat().st_size > 0)

    async def _stop(self, name: str, timeout_s: float) -> None:
        self.exit_codes.append(await self.running.pop(name).stop(timeout_s=timeout_s))
