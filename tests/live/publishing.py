"""Requests of the HTTP tests, and the check of a refusal (protocol §5)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from tests.live.followers import follow
from tests.live.server import TOKEN, Api, Server
from tests.live.wire import Address, Response

BEARER = ("authorization", f"Bearer {TOKEN}")
RATE = 50  # of `updates`, a second


def publish(server: Server, stream: str, body: bytes | str, **headers: str) -> Response:
    """POST a body as it is, with the token; header names are written with `_` for `-`."""
    lines = [BEARER, *((name.replace("_", "-"), value) for name, value in headers.items())]
    return server.ask("POST", f"/streams/{stream}", lines, body.encode() if isinstance(body, str) else body)


def ndjson(server: Server, stream: str, body: bytes | str, **headers: str) -> Response:
    return publish(server, stream, body, content_type="application/x-ndjson", **headers)


def refused(response: Response, status: int) -> str:
    """Check that this is a refusal with that status; its error code."""
    assert response.status == status, (response.status, response.body)
    answer = response.json()
    assert answer.keys() == {"error", "detail"}
    assert answer["error"] and answer["detail"]
    code: str = answer["error"]
    return code


def head(server: Server, stream: str) -> int:
    """The number of updates in a stream."""
    with follow("sse", server.address, stream) as client:
        return client.cursor.id


@contextmanager
def updates(address: Address, stream: str, *, patient: bool = False) -> Iterator[list[int]]:
    """Publish numbers to a stream, from 1 on, in their order; the list has those that were acknowledged.

    `patient`: what gets 503 or no answer is published again, with its key, as every publisher should do.
    """
    acknowledged: list[int] = []
    stop = threading.Event()
    failed: list[BaseException] = []

    def publish() -> None:
        api = Api(address)
        try:
            while not stop.wait(1 / RATE):
                n = len(acknowledged) + 1
                try:
                    status, answer = api.post(stream, b'{"n":%d}' % n, {"idempotency-key": f"number {n}"})
                except (OSError, HTTPException):
                    if patient:
                        continue
                    raise
                if patient and status == 503:
                    continue
                assert status == 201, (status, answer)
                acknowledged.append(n)
        except BaseException as error:  # noqa: BLE001  the test has to know
            failed.append(error)
        finally:
            api.connection.close()

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    yield acknowledged
    stop.set()
    thread.join(20)
    assert not failed, failed
