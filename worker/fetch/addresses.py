"""Tell public addresses from those no stranger's link may lead to.

The tables follow the special-purpose address registries (RFC 6890) and name more than `ipaddress.is_private` and
`is_global` do: every way to write an IPv4 address inside IPv6, multicast, and the clouds' metadata services.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.100.100.200/32", "cloud metadata"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.169.254/32", "cloud metadata"),
        ("169.254.0.0/16", "link-local"),
        ("168.63.129.16/32", "cloud metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT relay"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), name)
    for network, name in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4 mapped into IPv6"),
        ("::ffff:0:0:0/96", "IPv4 translated into IPv6"),
        ("::/96", "IPv4 compatible IPv6"),
        ("64:ff9b::/96", "IPv4 behind NAT64"),
        ("64:ff9b:1::/48", "IPv4 behind NAT64"),
        ("100::/64", "discard only"),
        ("2001::/32", "IPv4 inside Teredo"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "IPv4 inside 6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: the upper half of the interface identifier
_V4_MASK = 0xFFFFFFFF


def kind_of(address: Address) -> str:
    """Name what makes an address unfit for strangers' links; empty for a public one."""
    if isinstance(address, IPv4Address):
        return next((name for network, name in _V4 if address in network), "")
    named = next((name for network, name in _V6 if address in network), "")
    if named:
        return named
    if (int(address) >> 32) & _V4_MASK in _ISATAP:
        return "IPv4 inside ISATAP"
    return "" if address in _GLOBAL_UNICAST else "not global unicast"


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address carries (RFC 4291, 6052, 3056, 4380, 5214), if it carries one."""
    if isinstance(address, IPv4Address):
        return None
    kind, value = kind_of(address), int(address)
    if kind == "IPv4 inside 6to4":
        return IPv4Address((value >> 80) & _V4_MASK)
    if kind == "IPv4 inside Teredo":
        return IPv4Address(~value & _V4_MASK)
    return IPv4Address(value & _V4_MASK) if kind.startswith("IPv4") else None


def allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Tell whether an address may be connected to: public, or named by the operator.

    Naming a wide IPv6 network does not open the IPv4 addresses hidden inside it.
    """
    if not kind_of(address):
        return True
    if not any(address in network for network in networks if network.version == address.version):
        return False
    inner = embedded_ipv4(address)
    return inner is None or allowed(inner, networks)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read networks such as `127.0.0.0/8`; raises ValueError on the first that is none."""
    return tuple(ip_network(text, strict=False) for text in texts)


def literal(host: str) -> Address | None:
    """Return the address that a host name is, if it is one (zone identifiers and brackets are left out)."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
