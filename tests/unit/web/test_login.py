"""Who sees the pages: on loopback everybody, elsewhere those with the password or a trusted proxy's word."""

from __future__ import annotations

import base64
import io
import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import FakeClock
from tests.run_cli import run_inside
from tests.unit.web.test_forms import token_of
from worker.config.load import load_settings, masked_values
from worker.config.schema import Settings, WebSettings
from worker.errors import ConfigurationError, UsageError
from worker.models import Health, SourceState, SourceStats, StoreStats
from worker.runs.pages import pages_app
from worker.web import passwords
from worker.web.app import StatusSource
from worker.web.metrics import Metrics
from worker.web.passwords import MAX_FAILURES, MAX_OWN_FAILURES, WINDOW, hash_password, is_password

PASSWORD = "mật khẩu rất dài"
HOST = "http://10.1.2.3:8750"
PATHS = (
    "/", "/search?q=a", "/articles/1", "/api", "/api/v1/overview", "/api/v1/openapi.json",
    "/feeds/articles.atom", "/none", "/healthz/", "/metrics/..", "//healthz", "/static/../articles/1",
    "/static/%2e%2e/app.py",
)  # fmt: skip


@pytest.fixture(scope="module")
def made() -> str:
    """The hash of the password, with quick parameters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_LN", 1)
        patch.setattr(passwords, "_P", 1)
        return hash_password(PASSWORD)


@asynccontextmanager
async def client_of(
    web: WebSettings, *, clock: FakeClock | None = None, peer: str = "192.0.2.1", is_public: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    now = clock or FakeClock()

    async def figures() -> StoreStats:
        bao = SourceStats(name="bao", state=SourceState(name="bao"))
        return StoreStats(at=now.now(), pending=0, due=0, sources=(bao,))

    source = StatusSource(health=lambda: Health(ok=True), figures=figures, metrics=Metrics(), clock=now)
    app = pages_app(source, corpus=lambda: None, web=web, is_public=is_public)
    transport = httpx.ASGITransport(app=app, client=(peer, 4711))
    async with httpx.AsyncClient(base_url=HOST, transport=transport) as client:
        yield client


async def log_in(client: httpx.AsyncClient, password: str = PASSWORD, **options: Any) -> httpx.Response:
    page = (await client.get("/login?back=%2Fsearch%3Fq%3Da")).text
    action = re.search(r'action="(/login[^"]*)"', page)
    token = re.search(r'name="csrf" value="(\w+)"', page)
    assert action
    assert token
    return await client.post(action[1], data={"csrf": token[1], "password": password}, **options)


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anna:{password}".encode()).decode()}


async def test_with_the_password_a_person_gets_in_and_out_again(made: str) -> None:
    async with client_of(WebSettings(password_hash=made)) as client:
        before = await client.get("/search?q=a")
        wrong = await log_in(client, "mật khẩu")
        right = await log_in(client, headers={"Origin": HOST})
        inside = [(await client.get(path)).status_code for path in ("/", "/api/v1/overview", "/login")]
        token, old = await token_of(client), dict(client.cookies)
        out = await client.post("/logout", data={"csrf": token})
        client.cookies.update({name: value for name, value in old.items() if value})
        replayed = [
            (await client.get("/")).status_code,
            (await client.get("/api/v1/overview")).status_code,
            (await client.post("/sources/bao/pause", data={"csrf": token})).status_code,
        ]

    assert (before.status_code, before.headers["location"]) == (303, "/login?back=%2Fsearch%3Fq%3Da")
    assert (wrong.status_code, "This password is wrong" in wrong.text) == (403, True)
    assert (right.status_code, right.headers["location"]) == (303, "/search?q=a")
    assert inside == [200, 200, 303]
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert replayed == [303, 401, 403]


async def test_without_login_health_metrics_and_files_of_the_login_page_alone_are_served(made: str) -> None:
    async with client_of(WebSettings(password_hash=made)) as client:
        answers = {path: await client.get(path) for path in PATHS}
        posted = {path: (await client.post(path, data={})).status_code for path in ("/sources/bao/pause", "/logout")}
        open_ones = [(await client.get(path)).status_code for path in ("/healthz", "/metrics", "/static/style.css")]
        rebound = await client.get("/", headers={"Host": "evil.example"})

    assert {path: answer.status_code for path, answer in answers.items()} == {
        path: 401 if path.startswith(("/api/v1/", "/feeds/")) else 404 if path.startswith("/static/%") else 303
        for path in PATHS
    }
    assert not [path for path, answer in answers.items() if "bao" in answer.text]
    assert posted == {"/sources/bao/pause": 403, "/logout": 403}
    assert open_ones == [200, 200, 200]
    assert rebound.status_code == 421


async def test_on_a_public_address_without_a_password_nothing_is_served_and_why() -> None:
    async with client_of(WebSettings(), peer="127.0.0.1") as client:
        answers = {path: await client.get(path) for path in (*PATHS, "/login", "/static/style.css")}
        told = (await client.get("/")).text
        open_ones = [(await client.get(path)).status_code for path in ("/healthz", "/metrics")]

    assert {answer.status_code for answer in answers.values()} == {403}
    assert "--hash-password" in told
    assert open_ones == [200, 200]


async def test_on_loopback_nobody_logs_in_unless_a_proxy_is_before_it(made: str) -> None:
    async with client_of(WebSettings(), is_public=False) as client:
        plain = await client.get("/")
        proxied = [
            (await client.get("/", headers={name: "198.51.100.1"})).status_code
            for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP")
        ]
    async with client_of(WebSettings(trusted_proxies=("10.0.0.0/8",)), is_public=False, peer="10.0.0.2") as client:
        trusted = await client.get("/", headers={"X-Forwarded-For": "198.51.100.1"})
    async with client_of(WebSettings(password_hash=made), is_public=False) as client:
        with_password = await client.get("/")

    assert (plain.status_code, "Log out" in plain.text) == (200, False)
    assert proxied == [403, 403, 403]
    assert (trusted.status_code, with_password.status_code) == (200, 303)


async def test_the_session_is_new_and_its_cookie_is_out_of_reach_of_scripts_and_other_sites(made: str) -> None:
    async with client_of(WebSettings(password_hash=made)) as client:
        fixed = {"Cookie": "corpus_worker_session=chosen-by-another"}
        await client.get("/login", headers=fixed)
        plain = await log_in(client)
        tls = await log_in(httpx.AsyncClient(base_url=HOST, transport=client._transport),
                           headers={"Origin": HOST.replace("http:", "https:")})  # fmt: skip
        chosen = await client.get("/", headers=fixed)

    cookie, tls_cookie = plain.headers["set-cookie"], tls.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert ("Secure" in cookie, "Secure" in tls_cookie) == (False, True)
    assert "Domain" not in cookie
    assert re.match(r"corpus_worker_session=[\w-]{43};", cookie)
    assert chosen.status_code == 303


async def test_a_login_is_not_made_by_another_site(made: str) -> None:
    async with client_of(WebSettings(password_hash=made)) as client, client_of(WebSettings(password_hash=made)) as own:
        page = (await own.get("/login")).text
        token = re.search(r'name="csrf" value="(\w+)"', page)
        assert token
        form = {"csrf": token[1], "password": PASSWORD}
        foreign = await client.post("/login", data=form)
        crossed = await log_in(client, headers={"Sec-Fetch-Site": "cross-site"})
        elsewhere = await log_in(client, headers={"Origin": "https://evil.example"})

    assert [foreign.status_code, crossed.status_code, elsewhere.status_code] == [403, 403, 403]
    assert "session" not in str(dict(client.cookies))


async def test_a_session_ends_after_a_while(made: str) -> None:
    clock = FakeClock()
    async with client_of(WebSettings(password_hash=made), clock=clock) as client:
        await log_in(client)
        used = []
        for hours in [11] * 16:
            clock.advance(timedelta(hours=hours))
            used.append((await client.get("/api/v1/overview")).status_code)
        await log_in(client)
        clock.advance(timedelta(hours=13))
        idle = (await client.get("/api/v1/overview")).status_code

    assert used == [200] * 15 + [401]
    assert idle == 401


async def test_passwords_are_not_found_by_trying(made: str) -> None:
    clock = FakeClock()
    web = WebSettings(password_hash=made, trusted_proxies=("127.0.0.1/32",))
    async with client_of(web, clock=clock, peer="127.0.0.1") as client:

        async def tried(address: str, password: str) -> int:
            headers = {**basic(password), "X-Forwarded-For": f"203.0.113.9, {address}"}
            return (await client.get("/api/v1/overview", headers=headers)).status_code

        friend = await tried("198.51.100.1", PASSWORD)
        one = [await tried("192.0.2.1", f"wrong {number}") for number in range(MAX_OWN_FAILURES + 1)]
        right_too_late = await tried("192.0.2.1", PASSWORD)
        many = [await tried(f"2001:db8:{number}::1", "wrong") for number in range(MAX_FAILURES)]
        same_network = await tried("2001:db8:1::2", "wrong")
        friend_again = await tried("198.51.100.1", PASSWORD)
        clock.advance(WINDOW)
        later = await tried("192.0.2.1", PASSWORD)

    assert friend == 200
    assert one == [401] * MAX_OWN_FAILURES + [429]
    assert right_too_late == 429
    assert many.count(401) == MAX_FAILURES - MAX_OWN_FAILURES
    assert (same_network, friend_again, later) == (429, 200, 200)


async def test_programs_read_with_the_password_and_change_nothing_with_it(made: str) -> None:
    async with client_of(WebSettings(password_hash=made)) as client:
        read = await client.get("/api/v1/overview", headers=basic(PASSWORD))
        wrong = await client.get("/api/v1/overview", headers=basic("wrong password"))
        broken = await client.get("/api/v1/overview", headers={"Authorization": "Basic !"})
        page = await client.get("/", headers=basic(PASSWORD))
        change = await client.post("/sources/bao/pause", data={"csrf": "a"}, headers=basic(PASSWORD))

    assert [read.status_code, wrong.status_code, broken.status_code] == [200, 401, 401]
    assert wrong.headers["www-authenticate"].startswith("Basic ")
    assert [page.status_code, change.status_code] == [303, 403]


async def test_a_proxys_word_counts_from_that_proxy_alone(made: str) -> None:
    named = {"Remote-User": "anna"}
    web = WebSettings(trusted_user_header="Remote-User", trusted_proxies=("127.0.0.1", "fd00::/8"))
    statuses = {}
    for peer in ("127.0.0.1", "fd00::1", "192.0.2.1"):
        async with client_of(web, peer=peer) as client:
            statuses[peer] = [
                (await client.get("/", headers=named)).status_code,
                (await client.get("/", headers=named | {"X-Forwarded-For": "127.0.0.1"})).status_code,
                (await client.get("/")).status_code,
                (await client.get("/login")).status_code,
                (await client.get("/", headers=[("Remote-User", "anna"), ("Remote-User", "bob")])).status_code,
            ]
    async with client_of(web, peer="127.0.0.1") as client:
        page = (await client.get("/", headers=named)).text
        token = re.search(r'name="csrf" value="(\w+)"', page)
        assert token
        other = await client.post("/sources/bao/pause", data={"csrf": token[1]}, headers={"Remote-User": "bob"})
        own = await client.post("/sources/bao/pause", data={"csrf": token[1]}, headers=named)

    assert statuses["127.0.0.1"] == statuses["fd00::1"] == [200, 200, 403, 403, 403]
    assert statuses["192.0.2.1"] == [403] * 5
    assert (other.status_code, own.status_code) == (403, 503)  # the token is anna's; the store is not open here


def test_a_command_makes_the_hash_of_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_LN", 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\nmore\n"))
    made = run_inside(tmp_path, "web", "--hash-password")
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    refused = run_inside(tmp_path, "web", "--hash-password")

    assert (made.status, is_password(PASSWORD, made.out.strip())) == (0, True)
    assert (refused.status, refused.out) == (2, "")
    assert "5 characters" in refused.err


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ('password_hash = "hunter2-hunter2"', {}),
        ('listen = "0.0.0.0:1"\npassword_hash = "hunter2-hunter2"', {}),
        ('password_hash = ["hunter2-hunter2"]', {}),
        ("", {"CORPUS_WORKER_WEB__PASSWORD_HASH": "hunter2-hunter2"}),
        ("", {"CORPUS_WORKER_WEB__PASSWORD_HASH": "{hunter2-hunter2"}),
    ],
)
def test_a_password_in_the_place_of_its_hash_is_not_shown(
    tmp_path: Path, text: str, environment: dict[str, str]
) -> None:
    written = tmp_path / "worker.toml"
    written.write_text(f"[web]\n{text}\n")

    with pytest.raises(ConfigurationError) as found:
        load_settings(written, environment)

    assert "hunter2" not in str(found.value)
    assert "PASSWORD_HASH" in str(found.value).upper()


def test_a_password_is_kept_as_a_hash_and_never_shown(made: str) -> None:
    settings = Settings(web=WebSettings(password_hash=made))

    assert is_password(PASSWORD, made)
    assert is_password(unicodedata.normalize("NFD", PASSWORD), made)
    assert not is_password(PASSWORD + " ", made)
    assert hash_password_is_salted()
    assert made not in str(masked_values(settings))
    for wrong in ("short", "x" * 2_000):
        with pytest.raises(UsageError):
            hash_password(wrong)
    for wrong in ("password", made[:-1], made.replace("ln=1,", "ln=40,"), made.replace("r=8", "r=0")):
        with pytest.raises(ValueError, match="hash-password"):
            WebSettings(password_hash=wrong)


def hash_password_is_salted() -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_LN", 1)
        return hash_password(PASSWORD) != hash_password(PASSWORD)
