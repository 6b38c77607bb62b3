"""The router before dynos that are a few lines of a test: what passes, what is cut, and by which code."""

from __future__ import annotations

import errno
import socket
import threading
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.dyno.exchange import Limits, Line
from tests.dyno.router import Router
from tests.live.wire import Address, Closed, Wire, ask, read_body, read_head, request_bytes, until
from tests.services.certificates import Certificate

HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello"
CHUNK = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
UPGRADE = [("connection", "Upgrade"), ("upgrade", "websocket")]
END = b"\r\n\r\n"
SHORT = Limits(silence=0.2)


class Fake:
    """A dyno that gives `answer` to each head of a request, or whatever else ends with an empty line.

    Without an answer it is silent; with `closes` it hangs up behind it. `connections`: the heads that came on each;
    `gone`: how many have ended. It answers when `answering` is set.
    """

    def __init__(self, answer: bytes = HELLO, *, closes: bool = False, state: str = "up") -> None:
        self.name = "web.1"
        self.state = state
        self.connections: list[list[bytes]] = []
        self.gone = 0
        self.answering = threading.Event()
        self.answering.set()
        self._wires: list[Wire] = []
        self._answer = answer
        self._closes = closes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def hang_up(self) -> None:
        """End the newest connection, as a server does with one that has been idle."""
        self._wires[-1].sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        wire = Wire(sock)
        self._wires.append(wire)
        heads: list[bytes] = []
        self.connections.append(heads)
        with suppress(Closed, OSError):
            while not (heads and self._closes):
                heads.append(wire.until(END))
                self.answering.wait()
                wire.send(self._answer)
        wire.close()
        self.gone += 1


@contextmanager
def routed(
    certificate: Certificate, dynos: Sequence[Fake], limits: Limits | None = None
) -> Iterator[tuple[Address, list[Line]]]:
    """A router before them: where it is, over TLS, and its log."""
    lines: list[Line] = []
    with Router(certificate, limits or Limits(), lines.append) as router:
        router.route(dynos)
        yield Address("127.0.0.1", router.port, tls=True), lines
    for dyno in dynos:
        dyno.stop()


def logged(lines: list[Line]) -> Line:
    """Wait for the one line of the log."""
    until(lambda: lines, "the request is logged")
    (line,) = lines
    return line


@pytest.mark.parametrize("tls", [True, False])
def test_a_request_gets_to_the_dyno_with_the_headers_of_the_router(
    certificate: Certificate, tls: bool
) -> None:
    dyno = Fake()
    with routed(certificate, [dyno]) as (address, lines):
        forged = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "gopher"), ("x-request-id", "mine")]
        response = ask(address._replace(tls=tls), "GET", "/path?query", forged)
        assert (response.status, response.body) == (200, b"hello")
        assert response.head.get("via") == "1.1 heroku-router"
        line = logged(lines)
        assert f'at=info method=GET path="/path?query" host={address.netloc} request_id=mine' in str(line)
        assert "dyno=web.1" in str(line)
        assert "status=200 bytes=5" in str(line)
    first, *fields = dyno.connections[0][0].decode().split("\r\n")[:-2]
    assert first == "GET /path?query HTTP/1.1"
    (started,) = (field for field in fields if field.startswith("x-request-start: "))
    fields.remove(started)
    assert sorted(fields) == [
        f"host: {address.netloc}",
        "via: 1.1 heroku-router",
        "x-forwarded-for: 1.2.3.4, 127.0.0.1",
        f"x-forwarded-port: {address.port}",
        f"x-forwarded-proto: {'https' if tls else 'http'}",
        "x-request-id: mine",
    ]


def test_who_connects_and_says_nothing_holds_nobody_up(certificate: Certificate) -> None:
    with routed(certificate, [Fake()]) as (address, _):
        silent = Wire(address._replace(tls=False).connect())
        assert ask(address, "GET", "/").status == 200
    with pytest.raises(Closed):
        silent.fill()


def test_a_client_that_there_is_no_file_for_waits(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = BaseSelectorEventLoop.sock_accept
    failures = iter([OSError(errno.EMFILE, "Too many open files")])

    async def scarce(loop: BaseSelectorEventLoop, sock: socket.socket) -> Any:
        for failure in failures:
            raise failure
        return await accept(loop, sock)

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_accept", scarce)
    with routed(certificate, [Fake()]) as (address, _):
        assert ask(address, "GET", "/").status == 200


def test_connections_are_kept_on_both_sides(certificate: Certificate) -> None:
    dyno = Fake()
    with routed(certificate, [dyno]) as (address, lines):
        wire = Wire(address.connect())
        for _ in range(3):
            wire.send(request_bytes("GET", "/", [("host", "a")]))
            assert read_body(wire, read_head(wire)) == b"hello"
        assert [len(heads) for heads in dyno.connections] == [3]
        until(lambda: [line.code for line in lines] == ["", "", ""], "each is logged")


@pytest.mark.parametrize("at_once", [True, False])
def test_a_connection_that_its_dyno_has_closed_is_not_used_again(
    certificate: Certificate, at_once: bool
) -> None:
    dyno = Fake(closes=at_once)
    with routed(certificate, [dyno]) as (address, _):
        for number in (1, 2, 3):
            assert ask(address, "GET", "/").status == 200
            assert len(dyno.connections) == number
            if not at_once:
                dyno.hang_up()
            until(lambda: len(dyno.connections) == dyno.gone, "the dyno has closed it")


def test_a_kept_connection_is_closed_when_its_time_is_over(certificate: Certificate) -> None:
    dyno = Fake()
    with routed(certificate, [dyno], Limits(kept=0.1)) as (address, _):
        for number in (1, 2):
            assert ask(address, "GET", "/").status == 200
            until(lambda: len(dyno.connections) == dyno.gone, "the router has closed it")
            assert dyno.gone == number


def test_a_client_of_http_1_0_gets_no_chunks(certificate: Certificate) -> None:
    with routed(certificate, [Fake(CHUNK + b"0\r\n\r\n")]) as (address, _):
        wire = Wire(address.connect())
        wire.send(request_bytes("GET", "/", [("host", "a")], version="1.0"))
        assert read_head(wire).get("transfer-encoding") is None
        assert wire.rest() == b"hello"


def test_each_dyno_has_its_share(certificate: Certificate) -> None:
    dynos = [Fake(), Fake()]
    with routed(certificate, dynos) as (address, _):

        def both() -> bool:
            ask(address, "GET", "/")
            return all(dyno.connections for dyno in dynos)

        until(both, "both were asked")


@pytest.mark.parametrize("at_once", [True, False])
def test_bytes_pass_both_ways_behind_an_upgrade(certificate: Certificate, at_once: bool) -> None:
    """Also those that came before the dyno had agreed. Who leaves ends it, and that is no fault."""
    dyno = Fake(UPGRADED)
    dyno.answering.clear()
    early = b"early" + END
    with routed(certificate, [dyno]) as (address, lines):
        wire = Wire(address.connect())
        wire.send(request_bytes("GET", "/cable", [("host", "a"), *UPGRADE]) + (early if at_once else b""))
        until(lambda: dyno.connections and dyno.connections[0], "the dyno has the request")
        if not at_once:
            wire.send(early)
        dyno.answering.set()
        assert read_head(wire).status == 101
        assert wire.exactly(len(UPGRADED)) == UPGRADED, "the answer to what came early"
        wire.send(b"more" + END)
        assert wire.exactly(len(UPGRADED)) == UPGRADED
        wire.reset()
        line = logged(lines)
        assert (line.code, line.status, line.bytes) == ("", 101, 2 * len(UPGRADED))
    assert dyno.connections[0][1:] == [early, b"more" + END]


@pytest.mark.parametrize(
    ("fake", "limits", "code"),
    [
        (None, Limits(), "H14"),
        ({"state": "crashed"}, Limits(), "H10"),
        ({"state": "starting"}, Limits(boot=0.1), "H20"),
        ({"answer": b""}, Limits(first_byte=0.1), "H12"),
        ({"closes": True, "answer": b""}, Limits(), "H13"),
        ({"answer": b"nonsense" + END}, Limits(), "H13"),
    ],
)
def test_a_request_that_gets_no_answer_gets_503(
    certificate: Certificate, fake: dict[str, Any] | None, limits: Limits, code: str
) -> None:
    dynos = [] if fake is None else [Fake(**fake)]
    with routed(certificate, dynos, limits) as (address, lines):
        response = ask(address, "GET", "/")
        assert (response.status, b"Application error" in response.body) == (503, True)
        assert logged(lines).code == code


def test_a_dyno_that_nobody_listens_in_is_h21(certificate: Certificate) -> None:
    dyno = Fake()
    dyno.stop()
    with routed(certificate, [dyno]) as (address, lines):
        assert ask(address, "GET", "/").status == 503
        assert logged(lines).code == "H21"


@pytest.mark.parametrize(
    ("answer", "closes", "code"), [(CHUNK, False, "H15"), (CHUNK, True, "H18"), (UPGRADED, False, "H15")]
)
def test_what_falls_silent_or_breaks_off_is_cut(
    certificate: Certificate, answer: bytes, closes: bool, code: str
) -> None:
    with routed(certificate, [Fake(answer, closes=closes)], SHORT) as (address, lines):
        wire = Wire(address.connect())
        wire.send(request_bytes("GET", "/", [("host", "a"), *(UPGRADE if answer is UPGRADED else ())]))
        assert wire.rest().endswith(answer[-20:])
        line = logged(lines)
        assert (line.code, line.status) == (code, 503)


def test_a_client_that_leaves_is_h27_and_the_dyno_hears_of_it(certificate: Certificate) -> None:
    dyno = Fake(CHUNK)
    with routed(certificate, [dyno]) as (address, lines):
        wire = Wire(address.connect())
        wire.send(request_bytes("GET", "/", [("host", "a")]))
        read_head(wire)
        wire.reset()
        assert logged(lines).code == "H27"
        until(lambda: dyno.gone, "the dyno has seen the end")


def test_a_client_that_does_not_end_its_request_is_h28(certificate: Certificate) -> None:
    with routed(certificate, [Fake(b"")], SHORT) as (address, lines):
        wire = Wire(address.connect())
        wire.send(request_bytes("POST", "/", [("host", "a"), ("content-length", "9")]))
        assert wire.rest() == b""
        assert logged(lines).code == "H28"


def test_more_requests_at_a_time_than_the_dynos_may_have_are_h11(certificate: Certificate) -> None:
    with routed(certificate, [Fake(CHUNK)], Limits(active=1)) as (address, lines):
        wire = Wire(address.connect())
        wire.send(request_bytes("GET", "/", [("host", "a")]))
        read_head(wire)
        assert ask(address, "GET", "/").status == 503
        assert logged(lines).code == "H11"


def test_a_request_waits_for_a_dyno_that_starts(certificate: Certificate) -> None:
    dyno = Fake(state="starting")
    with routed(certificate, [dyno]) as (address, _):
        wire = Wire(address.connect())
        wire.send(request_bytes("GET", "/", [("host", "a")]))
        dyno.state = "up"
        assert read_head(wire).status == 200
