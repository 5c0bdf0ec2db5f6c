"""One connection: buffering, flow control, time limits, and how it ends."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpcore
import pytest

from worker.fetch.http.network_backend import HIGH_WATER_BYTES, NetworkStream, ReceiveBuffer


class Line(asyncio.Transport):
    """A transport without a socket that records the calls."""

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


async def test_bytes_are_read_in_order_and_at_most_in_the_requested_size() -> None:
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


async def test_reading_buffered_bytes_yields_to_the_event_loop() -> None:
    _, inbox, stream = connected()
    inbox.data_received(b"ab")
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "other")

    await stream.read(1)

    assert turns == ["other"]


async def test_reading_pauses_above_the_high_water_mark() -> None:
    line, inbox, stream = connected()

    inbox.data_received(bytes(HIGH_WATER_BYTES + 1))
    assert line.asked == ["pause"]
    await stream.read(10)

    assert line.asked == ["pause", "resume"]


async def test_a_broken_connection_raises_for_readers_and_writers() -> None:
    _, inbox, stream = connected()

    inbox.connection_lost(ConnectionResetError("reset by peer"))

    with pytest.raises(httpcore.ReadError, match="reset by peer"):
        await stream.read(1)
    with pytest.raises(httpcore.WriteError, match="reset by peer"):
        await stream.write(b"x")


async def test_bytes_before_the_break_are_still_read() -> None:
    _, inbox, stream = connected()
    inbox.data_received(b"last words")

    inbox.connection_lost(ConnectionResetError())

    assert await stream.read(99) == b"last words"


async def test_a_read_times_out() -> None:
    _, _, stream = connected()

    with pytest.raises(httpcore.ReadTimeout):
        await stream.read(1, timeout=0.001)


async def test_a_write_waits_for_a_full_send_buffer_and_times_out() -> None:
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


async def test_closing_aborts_the_connection_at_once() -> None:
    line, _, stream = connected()

    await stream.aclose()

    assert line.asked == ["abort"]


async def test_plain_bytes_before_the_handshake_abort_it() -> None:
    line, inbox, stream = connected()
    inbox.data_received(b"HTTP/1.1 200 OK\r\n\r\ninjected")

    with pytest.raises(httpcore.ConnectError, match="before the TLS handshake"):
        await stream.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "news.example")

    assert line.asked == ["abort"]
