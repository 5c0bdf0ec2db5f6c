"""The `connect_to` setting, which works like curl's `--connect-to`."""

from __future__ import annotations

import pytest

from worker.errors import ConfigurationError
from worker.fetch.http.network_backend import HostPort, parse_connect_to


@pytest.mark.parametrize(
    ("host", "port", "target"),
    [
        ("news.example", 443, HostPort("127.0.0.1", 8443)),
        ("NEWS.example.", 443, HostPort("127.0.0.1", 8443)),
        ("news.example", 80, HostPort("127.0.0.9", 80)),
        ("other.example", 8080, HostPort("other.example", 9090)),
        ("other.example", 443, None),
        ("six.example", 80, HostPort("::1", 8081)),
    ],
)
def test_the_most_specific_entry_wins(host: str, port: int, target: HostPort | None) -> None:
    routes = parse_connect_to(
        {
            "news.example:443": "127.0.0.1:8443",
            "news.example:": "127.0.0.9:",
            ":8080": ":9090",
            "six.example:80": "[::1]:8081",
        }
    )

    assert routes.find(host, port) == target


@pytest.mark.parametrize("entry", ["news.example", "a:b", "a:99999", "::1:80", "a:-1", ""])
def test_an_entry_that_cannot_be_read_is_named(entry: str) -> None:
    with pytest.raises(ConfigurationError, match=r"connect_to: .* is not of the form host:port"):
        parse_connect_to({entry: "127.0.0.1:80"})


def test_a_host_and_port_print_like_a_netloc() -> None:
    assert str(HostPort("::1", 80)) == "[::1]:80"
    assert str(HostPort("a.example", 443)) == "a.example:443"
