"""The newsroom serves its sites over TLS and plain HTTP, keeps a log, and leaves nothing behind."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from tests.newsroom import After, Certificate, Drip, Newsroom, Reach, Reply, Silent, Site, html, redirect, sites_of
from tests.newsroom.client import PATIENCE_S, ask_once, connected
from tests.waiting import eventually

HOST = "bao.example"
PAGES = {"/": html("<p>Trang nhất</p>"), "/tin?so=1": html("<p>Một</p>"), "/tin": html("<p>Tin</p>")}


@pytest.fixture
def room() -> Iterator[Newsroom]:
    with Newsroom([Site(host=HOST, pages=PAGES), Site(host="khac.example", pages={"/": html("khác")})]) as opened:
        yield opened


def threads_of_newsrooms() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("newsroom")]


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_site_answers_over_either_scheme(room: Newsroom, scheme: str) -> None:
    answer = ask_once(room, HOST, "/", scheme=scheme)

    assert (answer.status, answer.text) == (200, "<p>Trang nhất</p>")


def test_connect_to_leads_to_each_host_under_its_usual_ports(room: Newsroom) -> None:
    places = room.connect_to

    assert set(places) == {f"{host}:{port}" for host in (HOST, "khac.example") for port in (443, 80)}
    assert places[f"{HOST}:443"] == "{}:{}".format(*room.address(HOST))
    assert len(set(places.values())) == 4


def test_only_who_trusts_the_authority_gets_through(room: Newsroom) -> None:
    stranger = ssl.create_default_context()

    with (
        socket.create_connection(room.address(HOST), timeout=PATIENCE_S) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        stranger.wrap_socket(plain, server_hostname=HOST)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (Certificate.OTHER_NAME, "mismatch"),
        (Certificate.EXPIRED, "expired"),
        (Certificate.UNTRUSTED, "unable to get local issuer"),
    ],
)
def test_a_site_can_show_a_certificate_that_must_be_refused(kind: Certificate, complaint: str) -> None:
    with (
        Newsroom([Site(host=HOST, certificate=kind)]) as room,
        pytest.raises(ssl.SSLCertVerificationError, match=complaint),
    ):
        ask_once(room, HOST, "/")


def test_one_connection_carries_many_requests(room: Newsroom) -> None:
    with connected(room, HOST) as ask:
        bodies = [ask(path).text for path in ("/", "/tin", "/")]

    assert bodies == ["<p>Trang nhất</p>", "<p>Tin</p>", "<p>Trang nhất</p>"]
    assert len({request.connection for request in room.requests}) == 1


def test_head_gives_the_length_and_no_body(room: Newsroom) -> None:
    with connected(room, HOST) as ask:
        head, after = ask("/", "HEAD"), ask("/tin")

    assert (head.status, head.body, head.headers["content-length"]) == (
        200,
        b"",
        str(len("<p>Trang nhất</p>".encode())),
    )
    assert after.text == "<p>Tin</p>"


def test_a_page_is_found_by_its_query_first_then_without_it(room: Newsroom) -> None:
    assert ask_once(room, HOST, "/tin?so=1").text == "<p>Một</p>"
    assert ask_once(room, HOST, "/tin?so=2").text == "<p>Tin</p>"
    assert ask_once(room, HOST, "/khong-co").status == 404


def test_a_host_answers_for_itself_alone(room: Newsroom) -> None:
    with connected(room, HOST) as ask:
        assert ask("/", Host="khac.example").status == 421


def test_other_methods_are_refused(room: Newsroom) -> None:
    with connected(room, HOST) as ask:
        assert ask("/", "POST").status == 405


def test_the_log_says_who_asked_for_what_and_when(room: Newsroom) -> None:
    before, clock = datetime.now(UTC), time.monotonic()

    ask_once(room, HOST, "/tin", user_agent="corpus-worker/1.0")
    ask_once(room, HOST, "/khong-co", scheme="http")

    eventually(lambda: all(each.ended for each in room.requests))  # noted after the client has the answer
    first, second = room.requests
    assert (first.host, first.path, first.scheme, first.method) == (HOST, "/tin", "https", "GET")
    assert (first.status, second.status, second.scheme) == (200, 404, "http")
    assert (first.user_agent, second.user_agent) == ("corpus-worker/1.0", "")
    assert before <= first.at <= second.at <= datetime.now(UTC)
    assert clock <= first.began <= (first.ended or 0)
    assert first.began <= second.began
    assert room.asked(HOST, "/tin") == (first,)
    room.forget()
    assert room.requests == ()


def test_many_connections_are_served_at_once() -> None:
    slow = html("<p>chậm</p>", delivery=After(wait=timedelta(seconds=0.3)))
    with Newsroom([Site(host=HOST, pages={"/": slow})]) as room, ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: ask_once(room, HOST, "/").status, range(64)))

        assert answers == [200] * 64
        assert room.most_at_once(HOST) > 8


def test_one_after_the_other_is_one_at_once(room: Newsroom) -> None:
    for _ in range(3):
        ask_once(room, HOST, "/")

    assert room.most_at_once(HOST) == 1


def test_a_site_that_is_down_refuses_and_comes_back_at_the_same_address(room: Newsroom) -> None:
    with connected(room, HOST) as ask:
        ask("/")
        room.down(HOST)
        with pytest.raises((http.client.HTTPException, OSError)):
            ask("/")
    with pytest.raises(ConnectionRefusedError):
        ask_once(room, HOST, "/")
    assert ask_once(room, "khac.example", "/").status == 200

    room.up(HOST)

    assert ask_once(room, HOST, "/").status == 200


def test_a_silent_site_takes_the_connection_and_says_nothing(room: Newsroom) -> None:
    room.silence(HOST)

    with socket.create_connection(room.address(HOST, "http"), timeout=PATIENCE_S) as client:
        client.settimeout(0.2)
        client.sendall(b"GET / HTTP/1.1\r\nHost: bao.example\r\n\r\n")
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_site_can_be_unreachable_from_the_start() -> None:
    with Newsroom([Site(host=HOST, reach=Reach.REFUSED)]) as room, pytest.raises(ConnectionRefusedError):
        ask_once(room, HOST, "/")


def test_a_page_can_be_put_over_another_while_serving(room: Newsroom) -> None:
    room.put(HOST, "/", redirect("/tin", status=302))

    answer = ask_once(room, HOST, "/")

    assert (answer.status, answer.headers["location"]) == (302, "/tin")


def test_pages_given_by_url_are_spread_over_their_hosts_with_a_feed_each() -> None:
    pages = {"https://a.example/x?y=1&z=2": html("x"), "http://b.example": html("b"), "https://a.example/w": html("w")}
    with Newsroom(sites_of(pages)) as room:
        feed = ask_once(room, "a.example", "/newsroom-feed.xml")

        assert ask_once(room, "a.example", "/x?y=1&z=2").text == "x"
        assert ask_once(room, "b.example", "/", scheme="http").text == "b"
        assert "https://a.example/x?y=1&amp;z=2" in feed.text
        assert "b.example" not in feed.text
        assert ask_once(room, "a.example", "/robots.txt").text == "User-agent: *\nDisallow:\n"


def test_closing_ends_what_is_under_way_and_leaves_no_thread_socket_or_file() -> None:
    endless = Reply(body=b"x" * 1000, delivery=Drip(every=timedelta(seconds=5)))
    room = Newsroom([Site(host=HOST, pages={"/drip": endless, "/mute": Reply(delivery=Silent())})])
    with ThreadPoolExecutor(8) as pool, room:
        waiting = [pool.submit(suppressed_ask, room, path) for path in ("/drip", "/mute") * 3]
        eventually(lambda: len(room.requests) == 6)
        half_open = socket.create_connection(room.address(HOST), timeout=PATIENCE_S)
        begun = time.monotonic()

        room.close()

        assert time.monotonic() - begun < 300  # of more than an hour that the drip takes
        assert [each.result() for each in waiting] == [None] * 6
        assert half_open.recv(1) == b""
        half_open.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(room.address(HOST), timeout=PATIENCE_S)
    assert threads_of_newsrooms() == []
    assert not room.ca_file.exists()


def suppressed_ask(room: Newsroom, path: str) -> None:
    with suppress(OSError, http.client.HTTPException):
        ask_once(room, HOST, path)
