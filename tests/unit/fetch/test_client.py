"""Settings that cannot be used are refused at once, with a message that says what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.fetch.fakes import VirtualClock, inline
from worker.config.schema import FetchSettings
from worker.errors import ConfigurationError
from worker.fetch.client import HttpFetcher, InMemoryHostStore
from worker.fetch.http.connections import TlsContext


def fetcher(**changes: Any) -> HttpFetcher:
    settings = FetchSettings.model_construct(**changes)  # not validated: a configuration is refused before
    return HttpFetcher(settings, clock=VirtualClock(), hosts=InMemoryHostStore(), offload=inline)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"allow_networks": ("10.0.0.0/99",)}, r"fetch\.allow_networks: .*write for example"),
        ({"connect_to": {"news.example": "127.0.0.1:1"}}, r"fetch\.connect_to: .*write for example"),
        ({"ca_file": "/nowhere/ca.pem"}, r"fetch\.ca_file: /nowhere/ca\.pem cannot be read"),
    ],
)
def test_unusable_settings_are_refused_at_once(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        fetcher(**rules)


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")

    with pytest.raises(ConfigurationError, match="cannot be read as certificates"):
        fetcher(ca_file=str(path))


def test_all_connections_share_one_tls_context() -> None:
    trust = TlsContext("")

    assert trust.context() is trust.context()
