"""The web server: one thread that accepts, and one for each connection."""

import errno
import select
import selectors
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread, current_thread
from typing import Protocol

from tests.newsroom.journal import Journal, Request
from tests.newsroom.replies import Reply, plain
from tests.newsroom.sites import Reach

_LONGEST_HEAD = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Answers(Protocol):
    """Says what a request gets."""

    def __call__(self, request: Request) -> Reply: ...


class Door:
    """One port of one host on loopback: reserved for as long as it lives, listening or not."""

    def __init__(self, *, host: str, tls: ssl.SSLContext | None) -> None:
        self.host = host
        self.tls = tls
        self.socket = _bound(0)
        self.port: int = self.socket.getsockname()[1]

    def listen(self) -> None:
        """Take connections."""
        self.socket.listen(512)

    def refuse(self) -> None:
        """Refuse connections but keep the port: a socket that is bound and does not listen does both."""
        self.socket.close()
        self.socket = _bound(self.port)


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    found.setblocking(False)
    return found


class Connection:
    """One connection of a client: the wire that replies are written to."""

    def __init__(self, *, raw: socket.socket, door: Door, number: int, silent: bool) -> None:
        self._socket = raw
        self._closing = Event()
        self._lock = Lock()
        self.door = door
        self.number = number
        self.silent = silent

    def open(self) -> None:
        """Shake hands, if there is TLS."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.door.tls is None:
            return
        with self._lock:
            # Only the handshake itself may take long, and it must not hold the lock that `stop` needs.
            self._socket = self.door.tls.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        assert isinstance(self._socket, ssl.SSLSocket)
        self._socket.do_handshake()

    def read_head(self, already: bytes) -> tuple[bytes, bytes]:
        """Return a request's head and what came after it; an empty head: the client has gone."""
        data = already
        while b"\r\n\r\n" not in data:
            more = self._socket.recv(65_536)
            if not more or len(data) > _LONGEST_HEAD:
                return b"", b""
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest

    def write(self, data: bytes) -> None:
        if self._closing.is_set():
            raise ConnectionAbortedError(errno.ECONNABORTED, "the newsroom closes")
        self._socket.sendall(data)

    def pause(self, wait: timedelta) -> None:
        until = time.monotonic() + wait.total_seconds()
        while (left := until - time.monotonic()) > 0:
            if self._closing.wait(min(left, 0.1)) or self._gone():
                raise ConnectionAbortedError(errno.ECONNABORTED, "nobody waits for the rest")

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        raise ConnectionAbortedError(errno.ECONNABORTED, "reset, as asked")

    def finish(self) -> None:
        """End TLS in good order, without waiting for the client to do the same."""
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(0)
            self._socket.unwrap()

    def stop(self) -> None:
        """Make whatever the connection's thread is doing end soon."""
        self._closing.set()
        with self._lock:
            _shut_down(self._socket)

    def close(self) -> None:
        """Let go of the socket."""
        with self._lock:
            self._socket.close()

    def _gone(self) -> bool:
        poll = select.poll()
        poll.register(self._socket, getattr(select, "POLLRDHUP", select.POLLHUP))
        return bool(poll.poll(0))


def _shut_down(found: socket.socket) -> None:
    try:
        # Not SSLSocket's own method, which pulls the TLS object from under the thread that reads.
        socket.socket.shutdown(found, socket.SHUT_RDWR)
    except OSError:
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """Something the accepting thread is asked to do, because only it touches the listening sockets."""

    act: Callable[[], None]
    done: Event


class Server:
    """Accepts on many doors and answers; started and stopped once."""

    def __init__(self, *, answers: Answers, journal: Journal) -> None:
        self._answers = answers
        self._journal = journal
        self._reach: dict[Door, Reach] = {}
        self._connections: dict[Connection, Thread] = {}
        self._lock = Lock()
        self._orders: deque[_Order] = deque()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ring = socket.socketpair()
        self._ending = False
        self._count = 0
        self._thread = Thread(target=self._accept_all, name="newsroom", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Close every socket and wait for every thread; a second time, do nothing."""
        if self._ending:
            return
        self._order(self._end)
        self._thread.join()
        for door in self._reach:
            self.hang_up(door)
            door.socket.close()
        self._selector.close()
        self._bell.close()
        self._ring.close()

    def set_reach(self, door: Door, reach: Reach) -> None:
        """Open or shut a door; shutting it ends the connections that came through it."""
        self._order(lambda: self._turn(door, reach))
        if reach is not Reach.OPEN:
            self.hang_up(door)

    def hang_up(self, door: Door) -> None:
        """End the connections that came through the door."""
        with self._lock:
            ending = {each: thread for each, thread in self._connections.items() if each.door is door}
        for connection in ending:
            connection.stop()
        for thread in ending.values():
            if thread is not current_thread():  # a page may shut its own door
                thread.join()

    def _order(self, act: Callable[[], None]) -> None:
        order = _Order(act=act, done=Event())
        self._orders.append(order)
        self._ring.send(b"!")
        order.done.wait()

    def _end(self) -> None:
        self._ending = True

    def _turn(self, door: Door, reach: Reach) -> None:
        listening = self._reach.get(door, Reach.REFUSED) is not Reach.REFUSED
        self._reach[door] = reach
        if reach is Reach.REFUSED and listening:
            self._selector.unregister(door.socket)
            door.refuse()
        elif reach is not Reach.REFUSED and not listening:
            door.listen()
            self._selector.register(door.socket, selectors.EVENT_READ, door)

    def _accept_all(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select():
                if isinstance(key.data, Door):
                    self._accept(key.data)
                else:
                    self._obey()

    def _obey(self) -> None:
        self._bell.recv(1)
        order = self._orders.popleft()
        order.act()
        order.done.set()

    def _accept(self, door: Door) -> None:
        if self._reach[door] is Reach.REFUSED:  # shut since the selector spoke
            return
        try:
            raw, _ = door.socket.accept()
        except OSError:  # the client has gone again
            return
        self._count += 1
        silent = self._reach[door] is Reach.SILENT
        connection = Connection(raw=raw, door=door, number=self._count, silent=silent)
        thread = Thread(target=self._serve, args=(connection,), name=f"newsroom-{self._count}", daemon=True)
        with self._lock:
            self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            if connection.silent:
                connection.pause(timedelta(days=1))
            connection.open()
            self._talk(connection)
            connection.finish()
        except OSError:
            pass  # the client went, or the newsroom closes: both are an end like any other
        finally:
            connection.close()
            with self._lock:
                self._connections.pop(connection, None)

    def _talk(self, connection: Connection) -> None:
        rest, keep = b"", True
        while keep:
            head, rest = connection.read_head(rest)
            if not head:
                return
            keep = self._answer(connection, head)

    def _answer(self, connection: Connection, head: bytes) -> bool:
        request = _read(head, connection)
        number = self._journal.enter(request)
        understood = request.method in {"GET", "HEAD"}
        try:
            reply = self._answers(request) if understood else plain("GET and HEAD only\n", status=405)
            self._journal.answered(number, reply.status)
            again = reply.delivery.send(connection, reply, body=b"" if request.method == "HEAD" else reply.body)
        finally:
            self._journal.ended(number, time.monotonic())
        return again and understood and "close" not in request.headers.get("connection", "").lower()


def _read(head: bytes, connection: Connection) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _version = (*first.split(" "), "", "", "")[:3]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(
        host=connection.door.host,
        path=target,
        method=method,
        scheme="https" if connection.door.tls else "http",
        headers=headers,
        connection=connection.number,
        at=datetime.now(UTC),
        began=time.monotonic(),
    )
