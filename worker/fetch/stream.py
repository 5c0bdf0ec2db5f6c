"""One TCP or TLS connection as httpcore wants it, that can be dropped at once, without waiting for anything.

httpcore's own streams close by awaiting, so a cancelled fetch could leave a socket behind; `abort` never waits.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Any, cast

import httpcore

HIGH_WATER = 128 * 1024
HANDSHAKE_TIMEOUT_S = 60.0


class Inbox(asyncio.Protocol):
    """Keeps what arrives until somebody reads it, and asks the peer to wait when nobody does."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def readable(self) -> bool:
        """Whether a read would return at once."""
        return bool(self._chunks) or self.ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep the bytes."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and self.transport is not None:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note the end; False lets the transport close itself."""
        self.ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end and its cause."""
        self.ended = True
        self._error = exc
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """Make writers wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    async def read(self, max_bytes: int) -> bytes:
        """Return the next bytes, nothing at the end; raises OSError where the connection broke."""
        # Bytes that are there already must not be read without a turn of the loop between: a server that sends for ever
        # would keep every clock of this process from running, that of its own deadline included.
        await asyncio.sleep(0)
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._take(max_bytes)

    async def drained(self) -> None:
        """Wait until the peer takes more; raises OSError where the connection broke."""
        await self._writable.wait()
        if self._error is not None:
            raise self._error

    def _take(self, max_bytes: int) -> bytes:
        chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        was_full = self._size > HIGH_WATER
        self._size -= len(chunk)
        if was_full and self._size <= HIGH_WATER and self.transport is not None and not self.ended:
            self.transport.resume_reading()
        return chunk

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Stream(httpcore.AsyncNetworkStream):
    """A connection, plain until `start_tls`."""

    def __init__(self, transport: asyncio.Transport, inbox: Inbox) -> None:
        self._transport = transport
        self._inbox = inbox

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        """Return the next bytes, nothing at the end."""
        try:
            async with asyncio.timeout(timeout):
                return await self._inbox.read(max_bytes)
        except TimeoutError as exc:
            raise httpcore.ReadTimeout(f"no byte for {timeout:g} s") from exc
        except (OSError, ssl.SSLError) as exc:
            raise httpcore.ReadError(str(exc) or type(exc).__name__) from exc

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        """Send bytes."""
        if self._transport.is_closing():
            raise httpcore.WriteError("the connection is closed")
        try:
            async with asyncio.timeout(timeout):
                self._transport.write(buffer)
                await self._inbox.drained()
        except TimeoutError as exc:
            raise httpcore.WriteTimeout(f"the server takes nothing for {timeout:g} s") from exc
        except OSError as exc:
            raise httpcore.WriteError(str(exc) or type(exc).__name__) from exc

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """Encrypt; raises httpcore.ConnectError from the ssl module's error."""
        if self._inbox.readable:
            # What was sent before the handshake must never be taken for an answer that came through it.
            self.abort()
            raise httpcore.ConnectError("the server spoke or hung up before the TLS handshake")
        secured: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(timeout):
                secured = await asyncio.get_running_loop().start_tls(
                    self._transport,
                    self._inbox,
                    ssl_context,
                    server_hostname=server_hostname,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if timeout is None else timeout,
                )
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout("the TLS handshake takes too long") from exc
        except (OSError, ssl.SSLError) as exc:
            raise httpcore.ConnectError(str(exc) or type(exc).__name__) from exc
        finally:
            if secured is None:
                self.abort()
        assert secured is not None
        self._inbox.transport = secured
        return Stream(secured, self._inbox)

    async def aclose(self) -> None:
        """Drop the connection."""
        self.abort()

    def abort(self) -> None:
        """Drop the connection at once; the socket is closed in the loop's next turn."""
        self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """Answer what httpcore asks."""
        if info == "is_readable":
            return self._inbox.readable
        return self._transport.get_extra_info("peername" if info == "server_addr" else info)
