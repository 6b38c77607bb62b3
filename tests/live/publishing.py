"""Requests of the HTTP tests, and the check of a refusal (protocol §5)."""

from __future__ import annotations

from tests.live.followers import follow
from tests.live.server import TOKEN, Server
from tests.live.wire import Response

BEARER = ("authorization", f"Bearer {TOKEN}")


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
