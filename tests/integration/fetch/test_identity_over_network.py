"""What identifies the operator reaches the hosts of its source alone; the default agent never leaves loopback."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.integration.fetch.conftest import FetcherFactory
from tests.integration.fetch.loopback import Exchange, Loopback, serving
from worker.config.schema import FetchSettings, SourceSettings
from worker.errors import ConfigurationError, FetchBlocked, FetchError
from worker.fetch.http.network_backend import GuardedBackend, parse_connect_to, require_named_agent
from worker.fetch.http.ssrf import parse_networks
from worker.fetch.identity import (
    directory_headers,
    key_directory,
    new_key,
    read_access,
    read_key,
    thumbprint,
)
from worker.models import Request

ENVIRONMENT = {"LOGIN": "an:m4t:khau\n", "TOKEN": "Bearer b1-mat"}
COOKIES = """# Netscape HTTP Cookie File
.news.example\tTRUE\t/\tFALSE\t0\tsession\tb1mat
#HttpOnly_news.example\tFALSE\t/tin\tFALSE\t4102444800\tpaid\t1
news.example\tFALSE\t/khac\tFALSE\t0\telsewhere\t1
news.example\tFALSE\t/\tTRUE\t0\tsecure\t1
news.example\tFALSE\t/\tFALSE\t1\texpired\t1
.other.example\tTRUE\t/\tFALSE\t0\tother\t1
damaged
"""


def source(**keys: Any) -> SourceSettings:
    return SourceSettings(**{"name": "bao", "kind": "feed", "url": "http://news.example/rss", **keys})


async def test_headers_login_and_cookies_reach_the_hosts_of_the_source_alone(
    server: Loopback, make_fetcher: FetcherFactory, tmp_path: Path
) -> None:
    (tmp_path / "cookies.txt").write_text(COOKIES)
    paid = source(
        headers={"X-Key": "env:TOKEN", "accept": "text/html"},
        login="env:LOGIN",
        cookies_file=str(tmp_path / "cookies.txt"),
        login_hosts=["www.news.example"],
    )
    free = source(name="khac")
    access = read_access([paid, free], ENVIRONMENT)
    server.says("/tin/1", status=302, Location="/tin/2", Set_Cookie="fresh=1")
    server.says("/tin/2", status=302, Location="http://other.example/tin/3")
    server.says("/tin/3", status=302, Location="http://www.news.example/tin/4")
    steps: list[str] = []

    await make_fetcher(access=access).fetch(
        Request(url="http://news.example/tin/1", source="bao"), observe=lambda step: steps.append(step.detail)
    )
    by_path = {(each.headers["host"], each.path): each.headers for each in server.seen}
    own, second = by_path["news.example", "/tin/1"], by_path["news.example", "/tin/2"]
    other, listed = by_path["other.example", "/tin/3"], by_path["www.news.example", "/tin/4"]

    assert base64.b64decode(own["authorization"].removeprefix("Basic ")) == b"an:m4t:khau"
    assert (own["x-key"], own["accept"], own["cookie"]) == ("Bearer b1-mat", "text/html", "session=b1mat; paid=1")
    assert second["cookie"] == "session=b1mat; paid=1; fresh=1"
    assert listed["authorization"] == own["authorization"]
    assert listed["cookie"] == "session=b1mat"
    assert not {"authorization", "x-key", "cookie"} & {*other, *by_path["other.example", "/robots.txt"]}
    assert "b1-mat" not in "".join(steps) + repr(access)
    assert "b1mat" not in "".join(steps) + repr(access)

    server.seen.clear()
    await make_fetcher(access=access).fetch(Request(url="http://news.example/tin/5", source="khac"))
    await make_fetcher(access=access).fetch(Request(url="http://news.example/tin/6"))

    found = {each.path: each.headers.get("x-key") for each in server.seen}
    assert (found["/tin/5"], found["/tin/6"]) == (None, "Bearer b1-mat")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"login": "env:MISSING"}, 'source "bao": login: the environment variable MISSING is not set'),
        ({"login": "env:TOKEN_ONLY"}, "env:TOKEN_ONLY does not hold"),
        ({"headers": {"X-Key": "env:BROKEN"}}, "headers.X-Key: BROKEN holds characters other than printable ASCII"),
        ({"cookies_file": "/nowhere/cookies.txt"}, "cookies_file: /nowhere/cookies.txt cannot be read"),
        ({"proxy": "env:TOKEN_ONLY"}, "proxy: not of the form http://host:port"),
    ],
)
def test_what_cannot_be_used_is_named_and_not_shown(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_access([source(**keys)], {"TOKEN_ONLY": "b1mat", "BROKEN": "b1mat\nX: y"})

    assert told in str(caught.value)
    assert "b1mat" not in str(caught.value)


async def test_a_source_goes_through_its_proxy_and_no_other_does(
    server: Loopback, make_fetcher: FetcherFactory
) -> None:
    async with serving(Loopback()) as proxy:
        environment = {"PROXY": f"http://u:p4ss@127.0.0.1:{proxy.port}"}
        access = read_access([source(proxy="env:PROXY"), source(name="khac")], environment)
        proxy.says("http://news.example/tin/1", b"<p>by the proxy</p>").says(
            "http://news.example/robots.txt", status=404
        )
        fetcher = make_fetcher(access=access)

        page = await fetcher.fetch(Request(url="http://news.example/tin/1", source="bao"))
        direct = await fetcher.fetch(Request(url="http://news.example/tin/1", source="khac"))

        assert (page.body, direct.body) == (b"<p>by the proxy</p>", b"<p>hello</p>")
        assert {each.headers["proxy-authorization"] for each in proxy.seen} == {"Basic dTpwNHNz"}
        assert all("proxy-authorization" not in each.headers for each in server.seen)
        proxy.says("http://news.example/tin/2", status=407)
        with pytest.raises(FetchError, match=r"the proxy 127\.0\.0\.1:\d+ answered 407") as caught:
            await fetcher.fetch(Request(url="http://news.example/tin/2", source="bao"))
        assert (caught.value.reason, caught.value.retry) == ("connect", True)
        with pytest.raises(FetchBlocked):
            await fetcher.fetch(Request(url="http://169.254.169.254/", source="bao"))


async def test_a_secure_site_is_reached_through_a_tunnel_with_its_own_certificate(
    make_fetcher: FetcherFactory, authority: trustme.CA, ca_file: Path
) -> None:
    context, asked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), list[bytes]()
    authority.issue_cert("news.example").configure_cert(context)

    async def unknown(_host: str, _port: int) -> list[Any]:
        raise FetchError("no such name", reason="dns", retry=True)

    async with serving(Loopback(), tls=context) as site:

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            behind, to_site = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
            await asyncio.gather(pipe(reader, to_site), pipe(behind, writer))

        listener = await asyncio.start_server(tunnel, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        paid = source(url="https://news.example/rss", login="env:LOGIN", proxy=f"http://u:p4ss@127.0.0.1:{port}")
        fetcher = make_fetcher(
            access=read_access([paid], ENVIRONMENT), resolve=unknown, ca_file=str(ca_file), user_agent="bot/1"
        )
        page = await fetcher.fetch(Request(url="https://news.example/tin/1", source="bao"))
        await fetcher.aclose()
        listener.close()

    assert page.body == b"<p>hello</p>"
    assert asked == [
        b"CONNECT news.example:443 HTTP/1.1\r\nHost: news.example:443\r\nProxy-Authorization: Basic dTpwNHNz\r\n\r\n"
    ]
    assert "authorization" in site.seen[-1].headers
    assert "proxy-authorization" not in site.seen[-1].headers


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while read := await reader.read(4096):
            writer.write(read)
        writer.close()


def base_of(exchange: Exchange, parameters: str, *, label: str = "sig1") -> bytes:
    """Return the signature base of a received request by RFC 9421, section 2.5, without the library that signed it."""
    agent = re.fullmatch(rf'{label}=("[^"]*")', exchange.headers["signature-agent"])
    assert agent
    values = {
        '"@authority"': exchange.headers["host"].lower(),
        '"@method"': "GET",
        '"@path"': exchange.path.partition("?")[0],
        f'"signature-agent";key="{label}"': agent[1],
    }
    names = re.findall(r'("[^"]+"(?:;key="[^"]+")?)', parameters[1 : parameters.index(")")])
    return "\n".join([*(f"{name}: {values[name]}" for name in names), f'"@signature-params": {parameters}']).encode()


async def test_requests_are_signed_so_that_a_site_can_verify_them_with_the_published_key(
    server: Loopback, make_fetcher: FetcherFactory, tmp_path: Path
) -> None:
    pem = tmp_path / "key.pem"
    pem.write_bytes(new_key())
    agent = "https://crawler.example/.well-known/http-message-signatures-directory"
    fetcher = make_fetcher(signature_key=str(pem), signature_agent=agent)

    await fetcher.fetch(Request(url="http://news.example/tin/1?a=b"))
    await fetcher.fetch(Request(url="http://news.example/100%-moi"))
    published = json.loads(key_directory([read_key(pem)]))["keys"][0]

    canonical = json.dumps({name: published[name] for name in ("crv", "kty", "x")}, separators=(",", ":"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).decode().rstrip("=")
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(published["x"] + "="))
    nonces = set()
    for exchange in server.seen:
        parameters = exchange.headers["signature-input"].removeprefix("sig1=")
        signature = base64.b64decode(exchange.headers["signature"].removeprefix("sig1=:").removesuffix(":"))
        key.verify(signature, base_of(exchange, parameters))  # raises InvalidSignature
        found = dict(re.findall(r';(\w+)="?([^";]+)"?', parameters[parameters.index(")") :]))
        assert (found["keyid"], found["tag"], found["alg"]) == (digest, "web-bot-auth", "ed25519")
        assert int(found["expires"]) - int(found["created"]) == 300
        assert exchange.headers["signature-agent"] == f'sig1="{agent}"'
        nonces.add(found["nonce"])
    assert [exchange.path for exchange in server.seen] == ["/robots.txt", "/tin/1?a=b", "/100%-moi"]
    assert len(nonces) == 3


def test_the_directory_is_bound_to_its_host_by_each_of_its_keys(tmp_path: Path) -> None:
    files = [tmp_path / "new.pem", tmp_path / "old.pem"]
    for file in files:
        file.write_bytes(new_key())
    keys = [read_key(file) for file in files]
    body = key_directory(keys)

    headers = directory_headers(
        keys, body, url="https://crawler.example/x", now=datetime(2026, 11, 30, tzinfo=UTC), valid_for=timedelta(days=1)
    )

    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert headers["Content-Digest"] == f"sha-256=:{digest}:"
    for number, key in enumerate(keys, start=1):
        inputs = dict(re.findall(r"(binding\d)=(\(.*?)(?=, binding|$)", headers["Signature-Input"]))
        values = dict(re.findall(r"(binding\d)=:([^:]+):", headers["Signature"]))
        parameters = inputs[f"binding{number}"]
        covered = f'"@authority";req: crawler.example\n"content-digest": sha-256=:{digest}:'
        base = f'{covered}\n"@signature-params": {parameters}'
        key.public_key().verify(base64.b64decode(values[f"binding{number}"]), base.encode())
        assert f'keyid="{thumbprint(key)}"' in parameters
        assert 'tag="http-message-signatures-directory"' in parameters


@pytest.mark.parametrize("address", ["93.184.216.34", "::ffff:93.184.216.34", "127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_the_default_agent_connects_to_loopback_alone(address: str) -> None:
    async def resolve(_host: str, _port: int) -> list[Any]:
        return [ip_address(address)]

    networks = ("127.0.0.0/8", "::1/128", "::ffff:0:0/96")
    backend = GuardedBackend(
        resolve=resolve,
        networks=parse_networks(networks),
        connect_to=parse_connect_to({"elsewhere.example:80": "93.184.216.34:80"}),
        only_loopback=True,
    )

    if address.endswith(("127.0.0.1", "::1")):
        assert await backend.addresses("news.example", 80, 5) == ([ip_address(address)], 80)
    else:
        with pytest.raises(FetchError, match=r"set \[fetch\] user_agent") as caught:
            await backend.addresses("news.example", 80, 5)
        assert (caught.value.reason, caught.value.retry, caught.value.is_host_fault) == ("agent", True, True)
    assert (await backend.addresses("elsewhere.example", 80, 5))[1] == 80


async def test_the_default_agent_is_refused_before_any_request() -> None:
    default, named = FetchSettings(), FetchSettings(user_agent="bot/1 (+https://example.org/bot)")
    routed = FetchSettings(connect_to={"news.example:443": "127.0.0.1:8443"})

    await require_named_agent(
        default, ["http://127.0.0.1:8080/rss", "http://localhost/", "http://[::1]:81/", "files/x"]
    )
    await require_named_agent(routed, ["https://news.example/rss"])
    await require_named_agent(named, ["https://93.184.216.34/"])
    for settings, url in ((default, "https://93.184.216.34/"), (routed, "http://93.184.216.34/")):
        with pytest.raises(
            ConfigurationError, match=r"93\.184\.216\.34 is not fetched from: .* set \[fetch\] user_agent"
        ):
            await require_named_agent(settings, [url])
