"""broadcast.py, resp.py and posting.py: an update reaches HTTP, Redis and a program as its target wants it."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.errors import Environment
from bench.serving import resp
from bench.serving.broadcast import HttpPublish, RedisPublish, wrapped
from bench.serving.posting import CommandPoster, HttpPoster, RedisPoster

UPDATE = b'{"seq":1,"message":"\xc3\xa9 & \\"x\\""}'
OK, NO = (
    b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno",
)


class Listener:
    """A server that answers each piece it receives with the next of its answers, byte by byte, then hangs up."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.heard: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def serve(self) -> None:
        connection, _ = self.socket.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            for answer in self.answers:
                self.heard.append(connection.recv(65536))
                for at in range(len(answer)):
                    connection.sendall(answer[at : at + 1])


@contextmanager
def listening(*answers: bytes) -> Iterator[Listener]:
    listener = Listener(list(answers))
    thread = threading.Thread(target=listener.serve)
    thread.start()
    with listener.socket:
        yield listener
        thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ("{json}", UPDATE),
        ('{"data":{json}}', b'{"data":' + UPDATE + b"}"),
        ('{"data":{text}}', b'{"data":"{\\"seq\\":1,\\"message\\":\\"\xc3\xa9 & \\\\\\"x\\\\\\"\\"}"}'),
        ("data={form}", b"data=%7B%22seq%22%3A1%2C%22message%22%3A%22%C3%A9+%26+%5C%22x%5C%22%22%7D"),
    ],
)
def test_an_update_is_wrapped_as_the_template_says(template: str, body: bytes) -> None:
    assert wrapped(template, UPDATE) == body


def test_what_an_update_holds_is_no_template() -> None:
    assert wrapped("{json}", b'"{text}"') == b'"{text}"'


def test_one_update_over_http() -> None:
    publish = HttpPublish("/p", "secret", {"X-A": "1"}, "d={form}", "text/plain")
    assert publish.requests("h:1", b"a b", lines=False) == [
        b"POST /p HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer secret\r\nContent-Type: text/plain\r\n"
        b"X-A: 1\r\nContent-Length: 5\r\n\r\nd=a+b"
    ]


def test_no_authorization_without_a_token() -> None:
    (request,) = HttpPublish(token="").requests("h", b"{}", lines=False)
    assert b"Authorization" not in request


def test_several_updates_are_one_body_of_lines() -> None:
    (request,) = HttpPublish(body='{"d":{json}}').requests("h", b"1\n2", lines=True)
    assert b"application/x-ndjson" in request
    assert request.endswith(b'\r\n\r\n{"d":1}\n{"d":2}')


def test_or_a_request_each() -> None:
    first, second = HttpPublish(batch="each").requests("h", b"1\n2", lines=True)
    assert first.endswith(b"Content-Length: 1\r\n\r\n1")
    assert second.endswith(b"Content-Length: 1\r\n\r\n2")


def test_a_redis_publish_is_a_command_each() -> None:
    first, second = RedisPublish("ch", '{"d":{json}}').commands(b"1\n22", lines=True)
    assert first == b'*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$7\r\n{"d":1}\r\n'
    assert second == b'*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$8\r\n{"d":22}\r\n'


def test_redis_replies_split_at_every_byte() -> None:
    stream = b":12\r\n+PONG\r\n"
    for at in range(5):
        assert resp.read(stream[:at]) is None
    assert resp.read(stream) == (b"12", b"+PONG\r\n")
    assert resp.read(b"+PONG\r\n") == (b"PONG", b"")


@pytest.mark.parametrize("reply", [b"-ERR unknown\r\n", b"$3\r\nabc\r\n", b"*0\r\n"])
def test_another_redis_reply_is_an_error_that_quotes_it(reply: bytes) -> None:
    with pytest.raises(resp.RespError) as caught:
        resp.read(reply)
    assert str(caught.value) == f"Redis answered {reply.decode().partition(chr(13))[0]}"


def test_http_says_whether_it_was_accepted() -> None:
    with listening(OK, NO, OK) as server, HttpPoster(HttpPublish(), "127.0.0.1", server.port) as poster:
        assert poster.post(UPDATE) == 201
        assert poster.post(UPDATE) == 503
        assert poster.post(UPDATE) == 201
    assert [request.endswith(UPDATE) for request in server.heard] == [True] * 3
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in server.heard[0]


def test_every_status_that_says_yes_counts_as_201() -> None:
    publish = HttpPublish(accepted=(200, 503))
    with listening(NO) as server, HttpPoster(publish, "127.0.0.1", server.port) as poster:
        assert poster.post(UPDATE) == 201


def test_the_first_refusal_of_several_is_the_answer() -> None:
    publish = HttpPublish(batch="each")
    with listening(OK, NO) as server, HttpPoster(publish, "127.0.0.1", server.port) as poster:
        assert poster.post(b"1\n2\n3", lines=True) == 503
    assert len(server.heard) == 2


def test_a_server_that_hangs_up_is_an_error() -> None:
    with (
        listening(b"") as server,
        HttpPoster(HttpPublish(), "127.0.0.1", server.port) as poster,
        pytest.raises(Environment, match="the server closed the publisher's connection"),
    ):
        poster.post(UPDATE)


def test_an_answer_that_is_not_http_is_an_error() -> None:
    with (
        listening(b"hello\r\n\r\n") as server,
        HttpPoster(HttpPublish(), "127.0.0.1", server.port) as poster,
        pytest.raises(Environment, match="a publish was answered with something else: not an HTTP response"),
    ):
        poster.post(UPDATE)


def test_no_server_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(Environment, match="no connection to publish over, to Redis"):
        RedisPoster(RedisPublish(), "127.0.0.1", port)


def test_redis_answers_each_update() -> None:
    with (
        listening(b":1\r\n:0\r\n") as server,
        RedisPoster(RedisPublish(), "127.0.0.1", server.port) as poster,
    ):
        assert poster.post(b"1\n2", lines=True) == 201
    (heard,) = server.heard
    assert heard.count(b"PUBLISH") == 2


def test_what_redis_refuses_is_an_error() -> None:
    with (
        listening(b"-NOAUTH Authentication required.\r\n") as server,
        RedisPoster(RedisPublish(), "127.0.0.1", server.port) as poster,
        pytest.raises(Environment, match="a publish was refused: Redis answered -NOAUTH"),
    ):
        poster.post(b"1")


def test_a_program_gets_a_line_for_each_update(tmp_path: Path) -> None:
    script = "import sys; open('heard', 'w').write(sys.stdin.read())"
    with CommandPoster([sys.executable, "-c", script], tmp_path, {}) as poster:
        assert poster.post(b"1") == 201
        assert poster.post(b"2\n3", lines=True) == 201
    assert (tmp_path / "heard").read_text() == "1\n2\n3\n"


def test_a_program_that_ends_is_quoted(tmp_path: Path) -> None:
    script = "raise SystemExit('no broker there')"
    with CommandPoster([sys.executable, "-c", script], tmp_path, {}) as poster:
        poster.process.wait(10)
        with pytest.raises(Environment, match="the publishing command ended: no broker there"):
            poster.post(b"1")


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Environment, match=r"the publishing command cannot be started: .*no-such-program"):
        CommandPoster(["no-such-program"], tmp_path, {})
