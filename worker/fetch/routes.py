"""Connect elsewhere than the name says, as curl's `--connect-to` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from worker.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port; an empty host or a port of 0 stands for any, or for "as it was"."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Routes:
    """Where to connect instead. The exact host and port win over the host, the host over the port alone."""

    table: Mapping[Endpoint, Endpoint]

    def find(self, host: str, port: int) -> Endpoint | None:
        """Return where to connect for a host and port, None where nothing was said."""
        name = host.lower().rstrip(".")
        for key in (Endpoint(name, port), Endpoint(name, 0), Endpoint("", port), Endpoint("", 0)):
            target = self.table.get(key)
            if target is not None:
                return Endpoint(target.host or host, target.port or port)
        return None


def parse_routes(table: Mapping[str, str]) -> Routes:
    """Read a `connect_to` table; raises ConfigurationError with the entry that cannot be read."""
    return Routes(MappingProxyType({_endpoint(key): _endpoint(value) for key, value in table.items()}))


def _endpoint(text: str) -> Endpoint:
    host, colon, port = text.strip().rpartition(":")
    digits = port or "0"
    if not colon or not digits.isdecimal() or int(digits) > 65535 or (":" in host and not host.startswith("[")):
        raise ConfigurationError(
            f"fetch.connect_to: {text!r} is not of the form host:port; write for example "
            '"news.example:443" = "127.0.0.1:8443"'
        )
    return Endpoint(host.strip("[]").lower().rstrip("."), int(digits))
