"""Streams of both transports by hand, and servers in threads of the test that write them as they please."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import orjson

SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)
UPGRADE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n"
)
CABLE_HEAD = UPGRADE + b"\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
IDENTIFIER = '{"channel":"DashboardUpdatesChannel","stream":"bench"}'


def chunk(body: bytes, extension: bytes = b"") -> bytes:
    return b"%X%b\r\n%b\r\n" % (len(body), extension, body)


def frame(payload: bytes, opcode: int = TEXT, *, final: bool = True, width: int = 0) -> bytes:
    """One frame of a server's; `width` is how many bytes say the length beyond the first, at least."""
    first = bytes([opcode | 0x80 * final])
    if len(payload) < 126 and width == 0:
        return first + bytes([len(payload)]) + payload
    if len(payload) < 65536 and width <= 2:
        return first + b"\x7e" + len(payload).to_bytes(2) + payload
    return first + b"\x7f" + len(payload).to_bytes(8) + payload


def message(update: bytes) -> bytes:
    return b'{"identifier":%b,"message":%b}' % (orjson.dumps(IDENTIFIER), update)


HELLO = {
    "sse": SSE_HEAD + chunk(b'retry: 2000\n\nevent: verdict\nid: a-0\ndata: {"verdict":"fresh"}\n\n'),
    "cable": CABLE_HEAD
    + frame(b'{"type":"welcome"}')
    + frame(b"hey", PING)
    + frame(b'{"identifier":"{}","type":"confirm_subscription","position":"a-0"}'),
}
BODIES = {
    "sse": chunk(b'id: a-1\ndata: {"seq":1,"t":700}\n\n')
    + chunk(
        b': comment\r\n\r\nid: a-2\r\ndata:{"t" : 800,\r\ndata: "x":"\\"}\\\\", "seq" : 2}\r\n\r\n', b";a=b"
    )
    + chunk(b'event: heartbeat\ndata: {"seq":9,"t":9}\n\ndata: {"a":[{"seq":3}]')
    + chunk(b',"t":900}\n\ndata: {"seq":4,"t":99}\r\rdata\n\nevent\ndata: {"nothing":{}}\n\n')
    + chunk(b"event: goodbye\ndata: {}\n\n"),
    "cable": frame(message(b'{"seq":1,"t":700}'), width=2)
    + frame(message(b'{"t" : 800, "x":"\\"}\\\\", "type":"a", "seq" : 2}'), width=8)
    + frame(b'{"identifier":"{}","mess', final=False)
    + frame(b"in between", PING)
    + frame(b'age":{"seq":3,', 0, final=False)
    + frame(b'"t":900}}', 0)
    + frame(b"", PONG)
    + frame(b'{"type":"ping","message":1694041735}')
    + frame(message(b'{"seq":4,"t":99,"long":"' + b"x" * 100 + b'"}'))
    + frame(b"\x03\xe9", CLOSE),
}
UPDATES = "update 1 700; update 2 800; {}update 3 900; update 4 99; ended"
HEARD = {
    "sse": "ready; " + UPDATES.format(""),
    "cable": "welcome; ping hey; ready; " + UPDATES.format("ping in between; "),
}


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """A server in threads of this process; answers its port, and waits for its threads at the end."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        running = threading.Thread(target=server.serve_forever, args=(0.01,))
        running.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            running.join()


def until_it_leaves(sock: socket.socket) -> bytes:
    """What the other side still says."""
    said = b""
    while piece := sock.recv(65536):
        said += piece
    return said


# ---- a server that writes byte by byte


class Dripping(socketserver.BaseRequestHandler):
    """One subscriber and one publisher: both are answered in single bytes."""

    transport = "sse"
    status = b"201 Created"
    subscriber: socket.socket
    heard: bytes

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.request.makefile("rb") as requests, suppress(ConnectionError):
            while first := requests.readline():
                headers = dict(line.lower().split(b": ", 1) for line in iter(requests.readline, b"\r\n"))
                if first.startswith(b"POST /streams/bench "):
                    self.publish(requests.read(int(headers[b"content-length"])), headers)
                else:
                    type(self).subscriber = self.request
                    self.drip(self.request, HELLO[self.transport])
                    type(self).heard = requests.read()

    def publish(self, update: bytes, headers: dict[bytes, bytes]) -> None:
        assert headers[b"authorization"] == b"bearer bench-token\r\n"
        self.deliver(update)
        self.drip(self.request, b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n{}" % self.status)

    def deliver(self, update: bytes) -> None:
        event = chunk(b"data: %b\n\n" % update) if self.transport == "sse" else frame(message(update))
        self.drip(self.subscriber, event)

    @staticmethod
    def drip(sock: socket.socket, data: bytes) -> None:
        for byte in data:
            sock.sendall(bytes([byte]))
