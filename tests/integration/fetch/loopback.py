"""A web server on loopback whose responses a test writes byte for byte, however wrong."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

Conversation = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request, and the methods to respond to it."""

    path: str
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *chunks: bytes) -> None:
        self.writer.writelines(chunks)
        await self.writer.drain()

    async def reply(self, body: bytes = b"", *, status: int = 200, **headers: str) -> None:
        fields = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        await self.send(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1"), body)

    def reset(self) -> None:
        """Hang up so that the other side learns that it was no proper end."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def page(exchange: Exchange) -> None:
    await exchange.reply(b"<p>hello</p>")


@dataclass
class Loopback:
    """A table of paths and their responses; any other path gets a small page, robots.txt a 404."""

    routes: dict[str, Conversation] = field(default_factory=dict)
    seen: list[Exchange] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def paths(self) -> list[str]:
        return [exchange.path for exchange in self.seen]

    def on(self, path: str, conversation: Conversation) -> Self:
        self.routes[path] = conversation
        return self

    def says(self, path: str, body: bytes = b"", *, status: int = 200, **headers: str) -> Self:
        async def answer(exchange: Exchange) -> None:
            await exchange.reply(body, status=status, **headers)

        return self.on(path, answer)

    def robots(self, text: str, *, status: int = 200) -> Self:
        return self.says("/robots.txt", text.encode(), status=status, Content_Type="text/plain")

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, EOFError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = dict(line.split(": ", 1) for line in head[1:] if line)
                exchange = Exchange(head[0].split(" ")[1], {k.lower(): v for k, v in fields.items()}, reader, writer)
                self.seen.append(exchange)
                await self._conversation(exchange.path)(exchange)
        writer.transport.abort()

    def _conversation(self, path: str) -> Conversation:
        missing = self.says("/missing", status=404).routes["/missing"]
        return self.routes.get(path, missing if path == "/robots.txt" else page)


@asynccontextmanager
async def serving(server: Loopback, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Loopback]:
    """Serve until the block ends, then close all connections."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(server._talk(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
