"""Tells systemd how far this process is, where it was started by it (`sd_notify(3)`): nothing happens elsewhere."""

import os
import socket

import structlog

log = structlog.get_logger("farebox.service_manager")

READY = "READY=1"
STOPPING = "STOPPING=1"
# systemd reads at once; nobody's start or stop hangs on it.
_TIMEOUT_S = 1.0


def tell(state: str) -> None:
    """`state` is READY or STOPPING. A service manager that does not listen is logged, and no error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(_TIMEOUT_S)
            # a leading @ stands for an address that is no file
            manager.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
    except OSError as error:
        log.warning("service_manager_not_told", error=type(error).__name__)
