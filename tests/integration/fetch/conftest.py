"""Fixtures of the fetching tests: a server on loopback, and a fetcher that connects to it for `news.example`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.integration.fetch.loopback import Loopback, serving
from tests.unit.fetch.fakes import inline
from worker.clock import SystemClock
from worker.config.schema import FetchSettings
from worker.fetch.client import NO_SOURCES, HttpFetcher, InMemoryHostStore
from worker.fetch.identity import SourceAccess

FetcherFactory = Callable[..., HttpFetcher]


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    """Serve plain HTTP."""
    async with serving(Loopback()) as loopback:
        yield loopback


@pytest.fixture
async def make_fetcher(server: Loopback) -> AsyncIterator[FetcherFactory]:
    """Return a factory of fetchers that connect to the server for every host with port 80, closed at the end."""
    made: list[HttpFetcher] = []

    def make(
        *,
        hosts: InMemoryHostStore | None = None,
        resolve: Any = None,
        read_tdmrep: bool = False,
        refuse: tuple[str, ...] = (),
        access: Mapping[str, SourceAccess] = NO_SOURCES,
        **changes: Any,
    ) -> HttpFetcher:
        chosen: dict[str, Any] = {
            "per_host_delay": timedelta(0),
            "timeout": timedelta(seconds=60),
            "deadline": timedelta(seconds=120),
            "connect_to": {":80": f"127.0.0.1:{server.port}"},
        } | changes
        book = hosts or InMemoryHostStore()
        # Not validated: `:80` stands for every host, which a configuration cannot say.
        fetcher = HttpFetcher(
            FetchSettings.model_construct(**chosen),
            clock=SystemClock(),
            hosts=book,
            offload=inline,
            resolve=resolve,
            read_tdmrep=read_tdmrep,
            refuse=refuse,
            access=access,
        )
        made.append(fetcher)
        return fetcher

    yield make
    for fetcher in made:
        await fetcher.aclose()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Return an authority that signs certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the authority's certificate."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path
