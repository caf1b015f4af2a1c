"""What systemd is told, by a socket as it opens one."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from runtime.service_manager import READY, STOPPING, tell


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(10)
        yield listening


def test_a_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with manager(str(tmp_path / "notify")) as listening:
        tell(READY)
        tell(STOPPING)
        assert [listening.recv(100), listening.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_also_at_an_address_that_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    name = secrets.token_hex(8)
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with manager(f"\0{name}") as listening:
        tell(READY)
        assert listening.recv(100) == b"READY=1"


def test_without_one_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with capture_logs() as logs:
        tell(READY)
    assert logs == []


def test_one_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with capture_logs() as logs:
        tell(READY)
    assert [line["event"] for line in logs] == ["service_manager_not_told"]
