"""How an update reaches a server, as data: an HTTP request, a Redis PUBLISH, or a line to a program. Pure.

A template says what one update is wrapped in: `{json}` is its JSON text, `{text}` that text as a JSON string,
`{form}` the same percent-encoded for a form. `{json}` alone sends it as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus

import orjson

from bench.serving import resp

STREAM = "bench"
TOKEN = "bench-token"  # of a server on loopback that lives for seconds
ACCEPTED = 201
FORMS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"json": lambda update: update,
    b"text": lambda update: orjson.dumps(update.decode()),
    b"form": lambda update: quote_plus(update).encode(),
}
_PLACE = re.compile(rb"\{(json|text|form)\}")


def wrapped(template: str, update: bytes) -> bytes:
    """One update as the template wants it."""
    return _PLACE.sub(lambda place: FORMS[place[1]](update), template.encode())


def updates(body: bytes, lines: bool) -> list[bytes]:
    """The updates of one publish: one, or one a line."""
    return [line for line in body.split(b"\n") if line] if lines else [body]


@dataclass(frozen=True)
class HttpPublish:
    """Publishing by POST. `batch` is how several updates go out at once: "ndjson", one body with a line each, or
    "each", a request each. `accepted` are the statuses that say yes; no Authorization is sent for an empty token."""

    path: str = f"/streams/{STREAM}"
    token: str = TOKEN
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = "{json}"
    content_type: str = "application/json"
    batch: str = "ndjson"
    accepted: tuple[int, ...] = (ACCEPTED,)

    def requests(self, host: str, body: bytes, lines: bool) -> list[bytes]:
        """The HTTP/1.1 requests of one publish; `host` is for the Host header."""
        if lines and self.batch == "ndjson":
            content = b"\n".join(wrapped(self.body, update) for update in updates(body, lines))
            return [self._request(host, content, "application/x-ndjson")]
        return [
            self._request(host, wrapped(self.body, update), self.content_type)
            for update in updates(body, lines)
        ]

    def _request(self, host: str, content: bytes, content_type: str) -> bytes:
        rows = {
            "Host": host,
            **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            "Content-Type": content_type,
            **self.headers,
            "Content-Length": str(len(content)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in rows.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + content


@dataclass(frozen=True)
class RedisPublish:
    """Publishing by PUBLISH on the Redis that the bench starts for the target."""

    channel: str = STREAM
    message: str = "{json}"

    def commands(self, body: bytes, lines: bool) -> list[bytes]:
        """The RESP commands of one publish, one an update."""
        return [
            resp.command(b"PUBLISH", self.channel.encode(), wrapped(self.message, update))
            for update in updates(body, lines)
        ]


@dataclass(frozen=True)
class CommandPublish:
    """Publishing by a program that runs as long as the run does: a line on its standard input for each update."""

    command: tuple[str, ...]


Broadcast = HttpPublish | RedisPublish | CommandPublish
