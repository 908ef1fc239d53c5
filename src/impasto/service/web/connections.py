"""Connections of the server, and limits on what a peer may send, hold open or leave unread.

The server waits for a peer whose request is incomplete, whose connection is idle, or who does not read an answer. Such
connections are counted by party: the tenant of the last request with a valid API key, otherwise the network address.
If one party has too many, its connection that has been silent for longest is closed. If all parties together have too
many, this happens to the largest party. A peer that stalls therefore shuts out nobody else.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from impasto.service.web.problems import Problem

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, BaseTransport, Transport

    from uvicorn import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

HEADER_BYTES = 32 << 10
"""Largest head of a request: its path and headers."""
HEADERS = 100
"""Largest number of headers of a request."""
HEAD_SECONDS = 10.0
"""Time limit for a head to arrive, and for the rest of a body after its request has been answered."""
WINDOW = 10.0
"""Period in seconds over which the rates of senders and readers are measured."""
BYTES_PER_SECOND = 1024
"""Lowest mean rate over a `WINDOW` at which a peer may send a body or read an answer."""
UNREAD_BYTES = 64 << 10
"""Largest number of bytes of an answer that are buffered for a peer."""
MOST_OF_A_PARTY = 512
"""Largest number of waiting connections of one party."""
_PIPELINED = 8
_RESET = struct.pack("ii", 1, 0)
"""Value of SO_LINGER that makes closing discard unsent data. Otherwise the kernel keeps that data for as long as the
peer's machine responds."""


class Party(NamedTuple):
    """The tenant or the network address to which a connection is counted."""

    has_key: bool
    name: str


def party_of(address: str | None) -> Party:
    """Return the party of a peer without a key. All addresses of a /64 network of IPv6 are one party."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:  # a Unix socket has no address
        return Party(False, address or "")
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return Party(False, str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64))))
    return Party(False, str(ip))


class Connections(ServerState):
    """The connections of one server, and those among them that wait for their peers."""

    def __init__(self, most: int) -> None:
        """Hold up to ``most`` connections open. A quarter of them is kept for peers with keys."""
        super().__init__()
        self._most = most
        self._waiting: dict[Party, dict[Connection, None]] = {}  # of each party, the longest silent first
        self._without_key = 0

    def wait_for(self, connection: Connection) -> None:
        """Count ``connection`` as waiting, and as heard just now. If there are too many, close a waiting one."""
        self.heard(connection)
        party = self._waiting[connection.party]
        if len(party) > MOST_OF_A_PARTY:
            next(iter(party)).drop()
        elif self._without_key > self._most * 3 // 4:
            self._drop_of_largest(has_key=False)
        elif len(self.connections) > self._most:
            self._drop_of_largest(has_key=not self._without_key)

    def heard(self, connection: Connection) -> None:
        """Record that the peer of the waiting ``connection`` has sent or read something."""
        party = self._waiting.setdefault(connection.party, {})
        self._without_key += connection not in party and not connection.party.has_key
        party.pop(connection, None)
        party[connection] = None

    def wait_no_more(self, connection: Connection) -> None:
        """Stop counting ``connection`` as waiting."""
        party = self._waiting.get(connection.party)
        if party is not None and connection in party:
            del party[connection]
            self._without_key -= not connection.party.has_key
            if not party:
                del self._waiting[connection.party]

    def sweep(self) -> None:
        """Close the connections whose peers are too slow."""
        for connection in cast("set[Connection]", self.connections.copy()):
            connection.close_if_overdue()

    def _drop_of_largest(self, *, has_key: bool) -> None:
        largest = max((party for key, party in self._waiting.items() if key.has_key == has_key), key=len)
        next(iter(largest)).drop()


class Connection(HttpToolsProtocol):
    """One connection. It limits the size of heads, and the time that heads, bodies and readers take."""

    server_state: Connections

    def __init__(
        self,
        config: Config,
        server_state: Connections,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        """Serve a connection as part of ``server_state``."""
        super().__init__(config, server_state, app_state, _loop)
        self.party = party_of(None)
        # The request being answered. `cycle` is the newest one, which may still be waiting its turn.
        self._answering: RequestResponseCycle | None = None
        self._waits = False
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._head_since: float | None = None
        self._in_body = False
        self._answered_at = 0.0
        self._received, self._received_since = 0, 0.0
        self._unread, self._unread_since = 0, 0.0

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(cast("Transport", transport))
        self.transport.set_write_buffer_limits(high=UNREAD_BYTES)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Otherwise the kernel buffers megabytes, and a slow reader would look as if it had stopped reading.
            line = self.transport.get_extra_info("socket")
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNREAD_BYTES)
        self.party = party_of(self.client[0] if self.client else None)
        self._head_since = self.loop.time()
        self._count()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and tell the application."""
        self._waits = False
        self.server_state.wait_no_more(self)
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def belongs_to(self, tenant: str) -> None:
        """From now on, count the connection towards ``tenant`` instead of its address."""
        if self.party != Party(True, tenant) and not self.transport.is_closing():
            self.server_state.wait_no_more(self)
            self.party, self._waits = Party(True, tenant), False
            self._count()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self.transport.is_closing():
            return
        if self._head_since is None and not self._in_body:
            self._head_since = self.loop.time()
        if self._waits:
            self.server_state.heard(self)
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._unfinished_bytes > HEADER_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["state"]["connection"] = self
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the path."""
        super().on_url(url)
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer after a body in chunks."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEADER_BYTES or len(self.headers) >= HEADERS:
            raise ValueError("too many or too large headers")
        if not self._in_body:  # the application already has the headers, which must not change
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Pass the request to the application."""
        if len(self.pipeline) >= _PIPELINED:
            raise ValueError("too many requests that wait for the answer to the first")
        self._head_since, self._unfinished_bytes, self._in_body = None, 0, True
        self._received, self._received_since = 0, self.loop.time()
        super().on_headers_complete()
        if not self.pipeline:
            self._answering = self.cycle

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unfinished_bytes = 0
        self._received += len(body)
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        """End a chunk of the body. Extensions of chunks, and trailers, are limited like a head."""
        self._unfinished_bytes = 0

    def on_message_complete(self) -> None:
        """End a request."""
        self._unfinished_bytes, self._in_body = 0, False
        super().on_message_complete()
        if self.cycle.response_complete:  # the answer came before the end of the body
            self._head_since = self.loop.time()
        self._count()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._answered_at = self.loop.time()
        if self._head_since is not None:
            self._head_since = self._answered_at
        if self.pipeline:
            self._answering, _ = self.pipeline[-1]
        super().on_response_complete()
        self._count()

    def pause_writing(self) -> None:
        """Wait until the peer has read."""
        super().pause_writing()
        self._unread_since, self._unread = self.loop.time(), self.transport.get_write_buffer_size()
        self._count()

    def resume_writing(self) -> None:
        """Send more."""
        super().resume_writing()
        self._unread = 0
        if self._waits:
            self.server_state.heard(self)
        self._count()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that cannot be parsed, or whose head is too large."""
        del msg
        if self._head_bytes > HEADER_BYTES or len(self.headers or ()) >= HEADERS:
            self._refuse_head()
        else:
            self._refuse(Problem(HTTPStatus.BAD_REQUEST, "bad_request", "the request is not valid HTTP"))

    def drop(self) -> None:
        """Close the connection at once."""
        self._waits = False
        self.server_state.wait_no_more(self)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def close_if_overdue(self) -> None:
        """Close the connection if its peer is too slow."""
        now = self.loop.time()
        if self._stopped_reading(now) or self._is_late(now):
            self.drop()

    def _is_late(self, now: float) -> bool:
        if self.transport.is_closing():
            return False
        if self._in_body:
            return self._stopped_sending(now)
        return self._waits and self._head_since is not None and now - self._head_since > HEAD_SECONDS

    def _stopped_sending(self, now: float) -> bool:
        if self.cycle.response_complete:
            return now - self._answered_at > HEAD_SECONDS
        if now - self._received_since < WINDOW:
            return False
        too_slow = self._received < BYTES_PER_SECOND * WINDOW and not self.flow.read_paused
        self._received, self._received_since = 0, now
        return too_slow

    def _stopped_reading(self, now: float) -> bool:
        unread = self.transport.get_write_buffer_size()
        enough = self._unread - BYTES_PER_SECOND * WINDOW
        if unread == 0 or unread <= enough or self._unread == 0:
            self._unread, self._unread_since = unread, now
        return unread > 0 and now - self._unread_since > WINDOW

    def _count(self) -> None:
        """Start or stop counting the connection as waiting, according to its state."""
        answering = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        waits = not answering or self.flow.write_paused
        if waits and not self._waits:
            self._waits = True
            self.server_state.wait_for(self)
        elif self._waits and not waits:
            self._waits = False
            self.server_state.wait_no_more(self)

    def _refuse_head(self) -> None:
        detail = (
            f"the path and headers of a request are limited to {HEADER_BYTES >> 10} KiB and {HEADERS} headers; "
            "send fewer or shorter ones"
        )
        self._refuse(Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", detail))

    def _refuse(self, problem: Problem) -> None:
        """Answer with ``problem`` unless another answer has begun, and close the connection."""
        if self._answering is not None and not self._answering.response_complete and self._answering.response_started:
            self.drop()
            return
        answer = problem.response()
        status = HTTPStatus(problem.status)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), b"connection: close"]
        lines += [b"%b: %b" % header for header in (*self.server_state.default_headers, *answer.raw_headers)]
        self.transport.write(b"\r\n".join([*lines, b"", b""]) + bytes(answer.body))
        self.transport.close()
