"""bench/measure/readiness.py: what a server says of itself, while it changes its mind and when it is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.measure.readiness import Readiness
from tests.live.wire import until


class Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/ready" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {})) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_each_answer_is_kept_with_its_moment(server: ThreadingHTTPServer) -> None:
    host, port = str(server.server_address[0]), server.server_address[1]
    with Readiness(host, port, "/ready") as readiness:
        until(lambda: readiness.answers, "it was asked")
        server.RequestHandlerClass.status = 503  # type: ignore[attr-defined]
        until(lambda: readiness.answers[-1][1] == 503, "it says no")
        server.socket.close()
        until(lambda: readiness.answers[-1][1] == 0, "it is gone")
    gone = next(at for at, (_, status) in enumerate(readiness.answers) if status == 503)
    assert readiness.unready_seconds() == (readiness.answers[-1][0] - readiness.answers[gone][0]) / 1e9
    table = readiness.table(readiness.answers[1][0])
    statuses = [status for _, status in table["rows"]]
    assert list(dict.fromkeys(statuses)) == [200, 503, 0]
    moments = [moment for moment, _ in table["rows"]]
    assert moments == sorted(moments) and moments[0] < 0 == moments[1]


def asked(*statuses: int) -> Readiness:
    """One that was answered so, once a second."""
    made = Readiness("127.0.0.1", 1, "/ready")
    made.answers = [(second * 1_000_000_000, status) for second, status in enumerate(statuses)]
    return made


def test_it_was_not_ready_from_the_first_no_to_the_yes_behind_the_last() -> None:
    assert asked(200, 503, 0, 200, 503, 200, 200).unready_seconds() == 4
    assert asked(200, 200).unready_seconds() == asked().unready_seconds() == 0
