"""Which IP addresses are public."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fetch.hostile_urls import PRIVATE_V4, PRIVATE_V6, spellings_v6
from worker.fetch.http.ssrf import embedded_ipv4, ip_literal, is_allowed, parse_networks, special_purpose

PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "169.253.255.255",
    "191.255.255.255",
    "198.17.255.255",
    "223.255.255.255",
    "168.63.129.15",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "2001:4860:4860::8888",
    "2400:cb00::1",
    "2001:200::1",
)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_allowed(ip_address(text), ())


@pytest.mark.parametrize("text", (*PRIVATE_V4, *(text.partition("%")[0] for text in PRIVATE_V6)))
def test_special_purpose_addresses_are_refused(text: str) -> None:
    assert special_purpose(ip_address(text))
    assert not is_allowed(ip_address(text), ())


@pytest.mark.parametrize("inner", ["127.0.0.1", "169.254.169.254", "8.8.8.8"])
def test_ipv4_inside_ipv6_is_refused_in_every_form(inner: str) -> None:
    addresses = [ip_address(text.strip("[]")) for text in spellings_v6(inner) if "%" not in text]

    assert not any(is_allowed(address, ()) for address in addresses)


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::10.0.0.1", "10.0.0.1"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("2002:a00:1::5", "10.0.0.1"),
        ("2001:0:1:1::f5ff:fffe", "10.0.0.1"),
        ("fe80::5efe:a00:1", None),
        ("2a00::5efe:a00:1", "10.0.0.1"),
        ("2606:4700::1", None),
        ("10.0.0.1", None),
    ],
)
def test_the_address_inside_is_found(text: str, inner: str | None) -> None:
    assert embedded_ipv4(ip_address(text)) == (None if inner is None else IPv4Address(inner))


def test_the_operator_may_name_networks() -> None:
    networks = parse_networks(["127.0.0.0/8", "fd00::/8"])

    assert is_allowed(ip_address("127.0.0.1"), networks)
    assert is_allowed(ip_address("fd12::1"), networks)
    assert not is_allowed(ip_address("10.0.0.1"), networks)
    assert not is_allowed(ip_address("::ffff:127.0.0.1"), networks)


def test_allowing_all_of_ipv6_does_not_allow_the_ipv4_addresses_inside() -> None:
    networks = parse_networks(["::/0"])

    assert not is_allowed(ip_address("64:ff9b::169.254.169.254"), networks)
    assert is_allowed(ip_address("64:ff9b::8.8.8.8"), networks)
    assert is_allowed(ip_address("::1"), parse_networks(["::/0", "0.0.0.0/0"]))


@pytest.mark.parametrize("text", ["127.0.0.0/40", "localhost", "", "1.2.3.4/255.0.255.0"])
def test_an_invalid_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"[Aa]ddress|mask|appear"):
        parse_networks([text])


@pytest.mark.parametrize(
    ("host", "address"), [("::1", "::1"), ("[fe80::1%eth0]", "fe80::1"), ("a.example", None), ("127.1", None)]
)
def test_a_host_that_is_an_address_is_recognised(host: str, address: str | None) -> None:
    assert ip_literal(host) == (None if address is None else ip_address(address))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_nothing_that_python_calls_private_is_public_here(address: IPv4Address) -> None:
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        assert special_purpose(address)


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_only_global_unicast_is_public_in_ipv6(address: IPv6Address) -> None:
    if not special_purpose(address):
        assert address.is_global
        assert int(address) >> 125 == 1
