"""Hundreds of ways to write, hide or smuggle a private address in a URL."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

# fmt: off
PRIVATE_V4 = (
    "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "0.0.0.0", "0.0.0.1", "10.0.0.1", "10.255.255.255",
    "100.64.0.1", "100.100.100.200", "100.127.255.255", "169.254.0.1", "169.254.169.254", "169.254.170.2",
    "168.63.129.16", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255",
)
PRIVATE_V6 = (
    "::1", "::", "::2", "fe80::1", "fe80::1%lo", "febf::1", "fec0::1", "feff::1", "fc00::1", "fd00:ec2::254",
    "fdff::1", "ff02::1", "ff0e::1", "100::1", "2001:db8::1", "2001:10::1", "2001:2::1", "2001::1", "3fff::1",
    "5f00::1", "4000::1", "8000::1", "64:ff9b:1::1",
)
# fmt: on

DIGITS = {
    "fullwidth": "０１２３４５６７８９",
    "bold": "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
    "double-struck": "𝟘𝟙𝟚𝟛𝟜𝟝𝟞𝟟𝟠𝟡",
    "superscript": "⁰¹²³⁴⁵⁶⁷⁸⁹",
    "circled": "⓪①②③④⑤⑥⑦⑧⑨",
    "arabic": "٠١٢٣٤٥٦٧٨٩",
    "devanagari": "०१२३४५६७८९",
}
DOTS = "。．｡․"


def spellings_v4(text: str) -> Iterator[str]:
    """Yield the spellings that `inet_aton`, browsers and Unicode accept for one IPv4 address, as hosts of a URL."""
    number = int(IPv4Address(text))
    a, b, c, d = IPv4Address(text).packed
    yield from (
        text,
        f"{text}.",
        str(number),
        f"{number}.",
        hex(number),
        hex(number).upper(),
        f"0{number:o}",
        f"00{number:o}",
    )
    yield from (f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{number & 0xFFFF}", f"{a:#x}.{number & 0xFFFFFF:#x}")
    yield from (f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:#x}.{b}.0{c:o}.{d}")
    yield from (f"000{a}.000{b}.000{c}.000{d}", f"{a + 256}.{b}.{c}.{d}", f"{number + 2**32}")
    yield "".join(f"%{ord(character):02x}" for character in text)
    yield text.replace(".", "%2e")
    for digits in DIGITS.values():
        yield text.translate(str.maketrans("0123456789", digits))
    for dot in DOTS:
        yield text.replace(".", dot)


def spellings_v6(inner: str) -> Iterator[str]:
    """Yield the ways to carry one IPv4 address inside an IPv6 address, as hosts of a URL."""
    number = int(IPv4Address(inner))
    words = f"{number >> 16:x}:{number & 0xFFFF:x}"
    yield from (f"[::ffff:{inner}]", f"[::ffff:{words}]", f"[0:0:0:0:0:ffff:{words}]", f"[::FFFF:{inner}]")
    yield from (f"[::{inner}]", f"[::{words}]", f"[::ffff:0:{words}]", f"[64:ff9b::{inner}]", f"[64:ff9b::{words}]")
    yield from (f"[64:ff9b:1::{words}]", f"[2002:{words}::]", f"[2002:{words}::1]", f"[fe80::5efe:{words}]")
    yield f"[2001:0:1:1::{~number >> 16 & 0xFFFF:x}:{~number & 0xFFFF:x}]"
    yield f"[{IPv6Address((0xFFFF << 32) | number).exploded}]"
    yield f"[::ffff:{words}%25lo]"


def tricks(host: str, port: int) -> Iterator[str]:
    """Yield whole URLs that look as if they pointed to another host."""
    yield from (f"http://good.example@{host}:{port}/", f"http://good.example:80@{host}:{port}/")
    yield from (f"http://{host}:{port}#@good.example/", f"http://{host}:{port}?@good.example/")
    yield from (f"http://good.example\\@{host}:{port}/", f"http:\\\\{host}:{port}\\", f"http:/\\{host}:{port}/")
    yield from (f"//{host}:{port}/", f"///{host}:{port}/", f"http:///{host}:{port}/", f"http:{host}:{port}/")
    yield from (
        f" http://{host}:{port}/",
        f"http://\t{host}:{port}/",
        f"http://{host}\n:{port}/",
        f"http://{host}%00.example:{port}/",
    )
    yield from (
        f"HTTP://{host}:{port}/",
        f"hTTpS://{host}:{port}/",
        f"ftp://{host}:{port}/",
        f"gopher://{host}:{port}/_x",
    )
    yield from (
        f"dict://{host}:{port}/d:x",
        f"file://{host}/etc/passwd",
        f"ldap://{host}:{port}/",
        f"jar:http://{host}:{port}!/",
    )
    yield from (f"http://{host}:00000{port}/", f"http://{host}:{port + 65536}/", f"http://{host}:+{port}/")
    yield from (
        f"unix:{host}:{port}:/",
        f"data:text/html,{host}",
        f"view-source:http://{host}:{port}/",
        f"ws://{host}:{port}/",
    )


def hostile_urls(port: int) -> list[str]:
    """Return every URL, for a listener on a port."""
    hosts = [host for text in PRIVATE_V4[:14] for host in spellings_v4(text)]
    hosts += [host for text in PRIVATE_V4[:12] for host in spellings_v6(text)]
    hosts += [*PRIVATE_V4, *(f"[{text}]" for text in PRIVATE_V6)]
    hosts += [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "LoCaLhOsT",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "ｌｏｃａｌｈｏｓｔ",
        "localhost%2e",
        "ip6-localhost",
    ]
    urls = [f"http://{host}:{port}/" for host in hosts]
    urls += [url for host in ("127.0.0.1", "[::1]", "localhost", "2130706433") for url in tricks(host, port)]
    return list(dict.fromkeys(urls))
