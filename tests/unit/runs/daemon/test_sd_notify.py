"""The messages to systemd, received on a datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.runs.daemon.watchdog import SystemdNotifier


class Listener:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(60)

    def heard(self) -> dict[str, str]:
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def notified(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Listener, SystemdNotifier]]:
    name = f"corpus-worker-test-{os.getpid()}"
    address, told = (str(tmp_path / "n"),) * 2 if request.param == "path" else (f"\0{name}", f"@{name}")
    listener = Listener(address)
    yield listener, SystemdNotifier({"NOTIFY_SOCKET": told})
    listener.close()


def test_every_state_of_a_daemon_is_sent(notified: tuple[Listener, SystemdNotifier]) -> None:
    listener, systemd = notified

    systemd.ready()
    systemd.alive("3 articles\nin hand")
    systemd.degraded("it hangs")
    systemd.reloading(monotonic=12.5)
    systemd.stopping()

    assert listener.heard() == {"READY": "1"}
    assert listener.heard() == {"WATCHDOG": "1", "STATUS": "3 articles in hand"}
    assert listener.heard() == {"STATUS": "it hangs"}
    assert listener.heard()["MONOTONIC_USEC"] == "12500000"
    assert listener.heard()["STOPPING"] == "1"


def test_a_missing_listener_is_no_error(tmp_path: Path) -> None:
    SystemdNotifier({}).ready()
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
