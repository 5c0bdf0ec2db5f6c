"""One connection: bytes kept until they are read, a peer that must wait, an end that is told."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpcore
import pytest

from worker.fetch.http.network_backend import HIGH_WATER_BYTES, NetworkStream, ReceiveBuffer


class Line(asyncio.Transport):
    """A transport that goes nowhere and notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.closing = False

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def write(self, data: Any) -> None:
        self.asked.append(f"write {len(data)}")

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.asked.append("abort")


def connected() -> tuple[Line, ReceiveBuffer, NetworkStream]:
    line, inbox = Line(), ReceiveBuffer()
    inbox.connection_made(line)
    return line, inbox, NetworkStream(line, inbox)


async def test_bytes_are_read_in_the_order_and_size_asked_for() -> None:
    _, inbox, stream = connected()
    inbox.data_received(b"abcdef")
    inbox.data_received(b"gh")

    read = [await stream.read(4), await stream.read(4), await stream.read(4)]

    assert read == [b"abcd", b"ef", b"gh"]


async def test_a_reader_waits_for_bytes_and_for_the_end() -> None:
    _, inbox, stream = connected()
    first = asyncio.create_task(stream.read(9))
    await asyncio.sleep(0)
    inbox.data_received(b"late")
    read = await first
    second = asyncio.create_task(stream.read(9))
    await asyncio.sleep(0)

    inbox.eof_received()

    assert (read, await second, inbox.readable) == (b"late", b"", True)


async def test_reading_what_is_there_lets_others_have_their_turn() -> None:
    _, inbox, stream = connected()
    inbox.data_received(b"ab")
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "other")

    await stream.read(1)

    assert turns == ["other"]


async def test_a_peer_that_sends_more_than_is_read_has_to_wait() -> None:
    line, inbox, stream = connected()

    inbox.data_received(bytes(HIGH_WATER_BYTES + 1))
    assert line.asked == ["pause"]
    await stream.read(10)

    assert line.asked == ["pause", "resume"]


async def test_a_broken_connection_is_told_to_readers_and_writers() -> None:
    _, inbox, stream = connected()

    inbox.connection_lost(ConnectionResetError("reset by peer"))

    with pytest.raises(httpcore.ReadError, match="reset by peer"):
        await stream.read(1)
    with pytest.raises(httpcore.WriteError, match="reset by peer"):
        await stream.write(b"x")


async def test_what_came_before_the_break_is_still_read() -> None:
    _, inbox, stream = connected()
    inbox.data_received(b"last words")

    inbox.connection_lost(ConnectionResetError())

    assert await stream.read(99) == b"last words"


async def test_a_reader_waits_no_longer_than_its_time() -> None:
    _, _, stream = connected()

    with pytest.raises(httpcore.ReadTimeout):
        await stream.read(1, timeout=0.001)


async def test_a_writer_waits_for_a_peer_that_takes_nothing_but_not_for_ever() -> None:
    line, inbox, stream = connected()
    inbox.pause_writing()

    with pytest.raises(httpcore.WriteTimeout):
        await stream.write(b"abc", timeout=0.001)
    inbox.resume_writing()
    await stream.write(b"de", timeout=60)

    assert line.asked == ["write 3", "write 2"]


async def test_nothing_is_written_to_a_closed_connection() -> None:
    line, _, stream = connected()
    line.closing = True

    with pytest.raises(httpcore.WriteError):
        await stream.write(b"x")

    assert line.asked == []


async def test_closing_drops_the_connection_at_once() -> None:
    line, _, stream = connected()

    await stream.aclose()

    assert line.asked == ["abort"]


async def test_what_was_said_in_the_clear_spoils_the_handshake() -> None:
    line, inbox, stream = connected()
    inbox.data_received(b"HTTP/1.1 200 OK\r\n\r\ninjected")

    with pytest.raises(httpcore.ConnectError, match="before the TLS handshake"):
        await stream.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "news.example")

    assert line.asked == ["abort"]
