"""What the operator decided about fetching, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

DEFAULT_USER_AGENT = "corpus-worker/1.0 (+https://example.org/about-our-crawler)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRules:
    """The limits and manners of every fetch.

    `timeout` bounds one connect and one wait for bytes; `deadline` one fetch in all, redirects and body included, but
    not the wait for the host's turn. `max_bytes` counts after decompression. `connect_to` maps `host:port` to the
    `address:port` to connect to instead, like curl's option of that name. `ask_reservations` has every site's
    `/.well-known/tdmrep.json` asked for, once a day.
    """

    user_agent: str = DEFAULT_USER_AGENT
    per_host_delay: timedelta = timedelta(seconds=2)
    per_host_connections: int = 1
    max_connections: int = 32
    timeout: timedelta = timedelta(seconds=15)
    deadline: timedelta = timedelta(seconds=60)
    max_bytes: int = 10_000_000
    obey_robots: bool = True
    allow_networks: tuple[str, ...] = ()
    connect_to: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""
    ask_reservations: bool = False
