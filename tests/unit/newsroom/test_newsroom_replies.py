"""Replies: validators, codings, and every manner of going wrong on the wire."""

import gzip
import http.client
import socket
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.newsroom import (
    After,
    Chunked,
    Drip,
    Endless,
    InTurn,
    Newsroom,
    Page,
    Reply,
    Reset,
    Silent,
    Site,
    Unannounced,
    Verbatim,
    WrongLength,
    gzipped,
    html,
    plain,
    validated,
)
from tests.newsroom.client import PATIENCE_S, Answer, ask_once, connected
from tests.waiting import eventually

HOST = "bao.example"
CHANGED = datetime(2026, 3, 2, 6, 40, 0, 123, tzinfo=UTC)
SHORT = timedelta(milliseconds=20)


@pytest.fixture
def room() -> Iterator[Newsroom]:
    with Newsroom([Site(host=HOST)]) as opened:
        yield opened


def ask(room: Newsroom, page: Page, **headers: str) -> Answer:
    room.put(HOST, "/", page)
    return ask_once(room, HOST, "/", **headers)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"if_none_match": "{etag}"}, 304),
        ({"if_none_match": 'W/{etag}, "other"'}, 304),
        ({"if_none_match": '"other"'}, 200),
        ({"if_modified_since": "Mon, 02 Mar 2026 06:40:00 GMT"}, 304),
        ({"if_modified_since": "Mon, 02 Mar 2026 06:39:59 GMT"}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_none_match": '"other"', "if_modified_since": "Mon, 02 Mar 2026 06:40:00 GMT"}, 200),
    ],
)
def test_a_page_that_has_not_changed_is_not_sent_again(room: Newsroom, headers: dict[str, str], status: int) -> None:
    page = validated(html("<p>tin</p>"), changed=CHANGED)

    answer = ask(room, page, **{name: value.format(etag=page.etag) for name, value in headers.items()})

    assert answer.status == status
    assert answer.body == (b"" if status == 304 else b"<p>tin</p>")
    assert answer.headers["etag"] == page.etag
    assert answer.headers["last-modified"] == "Mon, 02 Mar 2026 06:40:00 GMT"


def test_the_etag_follows_the_body() -> None:
    assert validated(html("a"), changed=CHANGED).etag != validated(html("b"), changed=CHANGED).etag


def test_a_connection_goes_on_after_304(room: Newsroom) -> None:
    page = validated(html("<p>tin</p>"), changed=CHANGED)
    room.put(HOST, "/", page)
    with connected(room, HOST) as again:
        statuses = [again("/", if_none_match=page.etag).status, again("/").status]

    assert statuses == [304, 200]


def test_compression_is_for_those_who_accept_it(room: Newsroom) -> None:
    page = replace(html("<p>tin</p>" * 50), compress=True)

    packed, bare = ask(room, page, accept_encoding="br, gzip"), ask(room, page)

    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == bare.body == page.body


def test_a_gzip_stream_can_be_cut_short(room: Newsroom) -> None:
    answer = ask(room, gzipped(html("".join(map(str, range(1000)))), keep=0.5))
    inflating = zlib.decompressobj(zlib.MAX_WBITS | 16)

    found = inflating.decompress(answer.body)

    assert found.startswith(b"0123")
    assert not inflating.eof


def test_chunks_make_up_the_body_and_the_connection_goes_on(room: Newsroom) -> None:
    room.put(HOST, "/", html("<p>tin</p>" * 10, delivery=Chunked(size=7)))
    with connected(room, HOST) as again:
        answers = [again("/"), again("/", "HEAD"), again("/")]

    assert [answer.body for answer in answers] == [b"<p>tin</p>" * 10, b"", b"<p>tin</p>" * 10]
    assert "content-length" not in answers[0].headers


@pytest.mark.parametrize("head", [False, True])
def test_a_drip_takes_its_time_but_ends(room: Newsroom, head: bool) -> None:
    begun = time.monotonic()

    answer = ask(room, html("abcdef", delivery=Drip(every=SHORT, step=30 if head else 2, head=head)))

    assert answer.text == "abcdef"
    assert time.monotonic() - begun >= 3 * SHORT.total_seconds()


def test_a_drip_stops_when_nobody_waits_any_more(room: Newsroom) -> None:
    room.put(HOST, "/", html("abcdef", delivery=Drip(every=timedelta(minutes=10))))
    client = socket.create_connection(room.address(HOST, "http"), timeout=PATIENCE_S)
    client.sendall(b"GET / HTTP/1.1\r\nHost: bao.example\r\n\r\n")
    client.recv(10)

    client.close()

    eventually(lambda: room.requests[0].ended is not None, within=300)  # less than there is between two steps


def test_a_reset_before_anything_is_said(room: Newsroom) -> None:
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        ask(room, html("abc", delivery=Reset()))


def test_a_reset_in_the_middle_of_the_body(room: Newsroom) -> None:
    room.put(HOST, "/", html("abcdef", delivery=Reset(after=3)))
    with socket.create_connection(room.address(HOST, "http"), timeout=PATIENCE_S) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: bao.example\r\n\r\n")

        received = client.recv(4096)

        assert received.endswith(b"\r\n\r\nabc")
        with pytest.raises(ConnectionResetError):
            client.recv(4096)


def test_an_endless_body_goes_on_for_as_long_as_it_is_read(room: Newsroom) -> None:
    room.put(HOST, "/", html("x" * 100_000, delivery=Endless()))
    with socket.create_connection(room.address(HOST, "http"), timeout=PATIENCE_S) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: bao.example\r\n\r\n")
        received = 0
        while received < 20_000_000:
            received += len(client.recv(1_000_000))

    assert received >= 20_000_000


@pytest.mark.parametrize(("announced", "read"), [(2, b"ab"), (6, b"abcdef")])
def test_an_announced_length_that_is_too_small_cuts_the_body(room: Newsroom, announced: int, read: bytes) -> None:
    assert ask(room, html("abcdef", delivery=WrongLength(announced=announced))).body == read


def test_an_announced_length_that_is_too_large_leaves_the_client_waiting_for_more(room: Newsroom) -> None:
    with pytest.raises(http.client.IncompleteRead) as error:
        ask(room, html("abcdef", delivery=WrongLength(announced=10)))

    assert error.value.partial == b"abcdef"


def test_a_body_without_a_length_ends_with_the_connection(room: Newsroom) -> None:
    answer = ask(room, html("abcdef", delivery=Unannounced()))

    assert answer.text == "abcdef"
    assert "content-length" not in answer.headers


def test_what_is_no_http_is_sent_as_it_is(room: Newsroom) -> None:
    with pytest.raises(http.client.BadStatusLine, match="220 smtp"):
        ask(room, Reply(body=b"220 smtp.example ready\r\n", delivery=Verbatim()))


def test_a_silent_page_takes_the_request_and_says_nothing(room: Newsroom) -> None:
    room.put(HOST, "/", Reply(delivery=Silent()))

    with connected(room, HOST, timeout=0.2) as waiting, pytest.raises(TimeoutError):
        waiting("/")

    assert len(room.asked(HOST, "/")) == 1


def test_manners_can_be_put_together(room: Newsroom) -> None:
    begun = time.monotonic()

    answer = ask(room, gzipped(html("abc", delivery=After(wait=SHORT, then=Chunked()))))

    assert gzip.decompress(answer.body) == b"abc"
    assert time.monotonic() - begun >= SHORT.total_seconds()


def test_replies_come_in_turn_and_the_last_one_stays(room: Newsroom) -> None:
    page = InTurn(plain("busy", status=503), html("ok"))

    statuses = [ask(room, page).status for _ in range(4)]

    assert statuses == [503, 200, 200, 200]


def test_a_page_can_be_worked_out_from_the_request(room: Newsroom) -> None:
    answer = ask(room, lambda request: plain(f"{request.scheme} {request.user_agent}"), user_agent="corpus-worker")

    assert answer.text == "https corpus-worker"
