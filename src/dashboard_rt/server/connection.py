"""An HTTP connection before its handover: its deadline, what it refuses, and how it ends.

One of the modules that know uvicorn's insides; handover.py says why they have to. Knows nothing of parsing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .admission import NEVER, Admission
from .limits import BODY_TIMEOUT, HEAD_TIMEOUT, LINGER_SECONDS, SILENT, Refusal, ServerLimits, user_timeout_ms
from .listeners import set_user_timeout
from .responses import JoinedCycle

IDLE, HEAD, BODY = range(3)  # what is being read; BODY up to the end of the message
PER_CONNECTION = frozenset({"server_state", "parser", "pipeline"})  # attributes that no two connections share


def new_parser(protocol: HttpConnection) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(
        lenient_data_after_close=True
    )  # as uvicorn: pipelined behind `connection: close`
    return parser


class HttpConnection(HttpToolsProtocol):
    """uvicorn's HTTP class with an end to everything: one deadline, no timer of its own.

    `deadline` is when the peer has to have done something, on the loop's clock; `phase` says what is being read.
    `unparsed` are pipelined requests behind those in the queue.
    """

    admission: Admission
    limits: ServerLimits
    phase = IDLE
    deadline = NEVER
    unparsed = b""
    ignore_input = False  # the connection ends behind the response that is being sent
    overflows = False  # it came when the server was full
    running: JoinedCycle | None = None  # whose ASGI task runs

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Run uvicorn's constructor once a server, then copy its attributes: it looks up loggers, among others."""
        shared: dict[str, Any] | None = getattr(server_state, "shared_attributes", None)
        if shared is None:
            super().__init__(config, server_state, app_state, _loop)
            self.admission = Admission.of(server_state, app_state)
            self.limits = self.admission.limits
            self.share()
            server_state.shared_attributes = {k: v for k, v in vars(self).items() if k not in PER_CONNECTION}  # type: ignore[attr-defined]
        else:
            vars(self).update(shared)
            self.server_state = server_state
            self.parser = new_parser(self)
            self.pipeline = deque()

    def share(self) -> None:
        """Set what else all connections of a server share."""

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Do as uvicorn, but without the socket object that it makes for each connection and keeps."""
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        if self.admission.sets_user_timeout and self.client is not None:  # it is None for a Unix socket
            sock = transport.get_extra_info("socket")
            self.admission.sets_user_timeout = set_user_timeout(sock, user_timeout_ms(self.limits.timeout))
        self.deadline = self.loop.time() + self.limits.timeout
        self.overflows = not self.admission.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that runs, too: uvicorn tells only the newest, which may be a pipelined one behind it."""
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True
            self.running.message_event.set()
        super().connection_lost(exc)
        self.running = None
        for cycle, _ in self.pipeline:
            cycle.on_response = _nothing  # it refers back to this object, and no task will end it
        self.pipeline.clear()
        self.unparsed = b""

    @property
    def streams(self) -> bool:
        """Whether the response that is being sent has no end of its own."""
        running = self.running
        return running is not None and running.streams and not self.transport.is_closing()

    @property
    def in_work(self) -> bool:
        """Whether a request is being answered, or waits for that."""
        return self.running is not None and not self.running.response_complete

    def expire(self, now: float) -> None:
        """Refuse or close: the peer has not done in time what it had to do."""
        if self.transport.is_closing() or (self.ignore_input and not self.in_work):
            if self.transport.get_write_buffer_size():
                self.deadline = now + self.limits.timeout  # Admission looks whether it still reads
            else:
                self.transport.abort()
        elif self.flow.read_paused or (self.running is not None and self.running.waiting_for_100_continue):
            self.deadline = now + self.limits.timeout  # it is we who make it wait
        elif self.phase is IDLE:
            if self.cycle is None:
                self.limits.count(SILENT)  # type: ignore[unreachable]  # uvicorn's annotation knows no None
            self.deadline = now + self.limits.timeout
            self.transport.close()
        else:
            self.refuse(HEAD_TIMEOUT if self.phase is HEAD else BODY_TIMEOUT)

    def linger(self) -> None:
        """Send no more, and drop what still comes: closing on unread bytes would reset the connection too early.

        The peer would lose an answer that it has not read yet (RFC 9112 §9.6).
        """
        self.ignore_input = True
        self.unparsed = b""
        self.deadline = self.loop.time() + min(LINGER_SECONDS, self.limits.timeout)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    # ---- refusals

    def refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be served, and end the connection; requests before it are answered first."""
        self.limits.count(refusal.reason)
        self.ignore_input = True
        answered = False
        if self.in_work:
            if self.phase is not BODY or self.cycle is not self.running:
                self._end_behind_queue()
                return
            answered = self._abandon_running()
        if answered or not refusal.status:
            self.transport.abort()
        else:
            self.transport.write(refusal.response(self.server_state.default_headers))
            self.linger()

    def _abandon_running(self) -> bool:
        """Tell the app that its client has gone: it may still wait for a body. Returns whether it began to answer."""
        running, self.running = self.running, None
        assert running is not None
        running.disconnected = True
        running.message_event.set()
        return running.response_started

    def _end_behind_queue(self) -> None:
        """Read no more, and end the connection behind the last request that came whole."""
        self.ignore_input = True
        self.flow.pause_reading()
        self.unparsed = b""
        self.deadline = NEVER
        if self.phase is BODY and self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()  # the newest, whose body will never be whole
            self.cycle = self.pipeline[0][0] if self.pipeline else self.running  # type: ignore[assignment]
        self.phase = IDLE
        self.cycle.keep_alive = False
        self.cycle.lingers = True  # type: ignore[attr-defined]

    # ---- requests and responses

    def on_response_complete(self) -> None:
        """Start the next request, or wait for one: as uvicorn does, but without a timer for each connection."""
        self.server_state.total_requests += 1
        running = self.running
        if self.transport.is_closing():
            self.deadline = self.loop.time() + self.limits.timeout
        elif running is not None and running.lingers:
            running.flush()
            self.linger()
        else:
            if self.unparsed:
                self.loop.call_soon(self._parse_kept)
            else:
                self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            elif self.phase is IDLE:
                self.deadline = self.loop.time() + self.timeout_keep_alive

    def _parse_kept(self) -> None:
        """Parse some more of `unparsed`, when a request of the queue has been started."""
        raise NotImplementedError


def _nothing() -> None: ...


def _address(name: Any) -> Any:
    """Return host and port as ASGI has them; None for the peer of a Unix socket."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None
