"""Tells systemd how the daemon is; silent where no systemd listens."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import structlog

log = structlog.get_logger()


class SystemdNotifier:
    """The notify protocol of systemd: one datagram a message (sd_notify(3), systemd.service(5) `WatchdogSec=`)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))

    def ready(self) -> None:
        """Say that the store is open and work begins."""
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """Say that the daemon gets on, and what it is doing."""
        self._send(f"WATCHDOG=1\nSTATUS={_one_line(status)}")

    def troubled(self, status: str) -> None:
        """Say what is wrong, without saying that the daemon gets on."""
        self._send(f"STATUS={_one_line(status)}")

    def reloading(self, *, monotonic: float) -> None:
        """Say that the configuration is being read again; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic * 1_000_000)}\nSTATUS=reading the configuration again")

    def stopping(self) -> None:
        """Say that the daemon is about to end."""
        self._send("STOPPING=1\nSTATUS=finishing what is in hand")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(0)
                sender.sendto(message.encode(), self._address)
        except OSError as exc:
            log.debug("run.supervisor_unreachable", error=str(exc))


def _address(name: str) -> str:
    """Return the socket's address; a leading @ stands for the NUL of an abstract one."""
    return "\0" + name[1:] if name.startswith("@") else name


def _one_line(text: str) -> str:
    return " ".join(text.split())
