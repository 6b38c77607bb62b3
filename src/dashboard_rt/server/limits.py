"""What a server grants to peers that it does not know: how large, how long, how many, and how it refuses the rest.

The app hands `ServerLimits` over in its lifespan state; without one the defaults hold. Knows no socket.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

LIMITS = "dashboard_rt.limits"  # key of the lifespan state
MAX_HEAD = 16384  # bytes of a request's head, and of what frames a body's chunks
MAX_FIELDS = 100  # header fields of a head, and trailer fields behind a body
MAX_PIPELINED = 8  # requests that wait for the answer to an earlier one of their connection
MAX_UNPARSED = 65536  # bytes behind those
# For a peer to acknowledge what it was sent; Linux takes half a second longer. With SSE_HEARTBEAT (15 s) a client whose
# cable was pulled is noticed within 30 s.
LOST_SECONDS = 13.0
LOST_BEHIND_TIMEOUT = 3.0  # seconds
LINGER_SECONDS = 2.0  # for a peer to read its answer while what it still sends is dropped
BESIDE_CLIENTS = 200  # connections above MAX_CLIENTS: requests, and who is being told `full`
RESERVED_FILES = 100  # below the limit of open files: the database, the listeners, and the margin
HEALTH_MARGIN = 20  # connections above the cap, so that health checks are still answered
HEALTH_CHECKS = frozenset({b"up", b"health", b"ready"})  # last segments of their paths


def connection_limit(max_clients: int) -> int:
    """Return how many connections a process may have: those beside its clients too, as far as there are files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max_clients + BESIDE_CLIENTS
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft - RESERVED_FILES))


def user_timeout_ms(send_timeout: float) -> int:
    """Return the TCP_USER_TIMEOUT (RFC 5482) of sockets: after that the kernel gives up on a peer that has gone.

    Linux gives up on one that acknowledges but takes nothing, too. Of those SEND_TIMEOUT decides, so it comes first.
    """
    return round(1000 * max(LOST_SECONDS, send_timeout + LOST_BEHIND_TIMEOUT))


def _count_nothing(reason: str) -> None: ...


def _none_open(label: str) -> float:
    return 0.0


@dataclass(frozen=True)
class ServerLimits:
    """What the app wants of its server.

    Within `timeout` seconds a head has to be complete, a body to go on, an answer to be taken further. `connections`
    is the most of one process. `open_streams` returns how many connections a transport has, by its label. `count`
    counts a refusal by its reason, one of `REASONS`.
    """

    timeout: float = 10.0
    connections: int = sys.maxsize
    open_streams: Callable[[str], float] = _none_open
    count: Callable[[str], None] = _count_nothing

    @classmethod
    def of(cls, app_state: Mapping[str, Any]) -> ServerLimits:
        """Return those of an app's lifespan state, or the defaults."""
        found = app_state.get(LIMITS)
        return found if isinstance(found, cls) else cls()


class Refusal(NamedTuple):
    """A response of the server itself. `reason` is a label of the counter; status 0 ends without a response."""

    status: int
    reason: str
    detail: str

    def response(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return the response as bytes, in the form of all errors (docs/protocol.md §5), behind these headers."""
        phrase = HTTPStatus(self.status).phrase
        body = json.dumps({"error": phrase.lower().replace(" ", "_"), "detail": self.detail}).encode()
        lines = [b"%b: %b\r\n" % header for header in headers]
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            lines.append(b"retry-after: 1\r\n")
        return (
            b"HTTP/1.1 %d %b\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n"
            b"cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n%b"
        ) % (self.status, phrase.encode(), b"".join(lines), len(body), body)


NOT_HTTP = Refusal(
    400, "not_http", "This is not HTTP/1.1: send a request line, header fields and an empty line."
)
BAD_HANDSHAKE = Refusal(400, "bad_handshake", "The target of this handshake has no path: connect to /cable.")
HEAD_TIMEOUT = Refusal(408, "head_timeout", "The head of the request did not end in time: send it at once.")
BODY_TIMEOUT = Refusal(408, "body_timeout", "The body of the request stopped coming: send it at once.")
TOO_LARGE = Refusal(
    431, "head_too_large", f"A head has at most {MAX_HEAD} bytes and {MAX_FIELDS} fields: send fewer cookies."
)
FULL = Refusal(
    503, "full", "This server has no room for another connection: try again, or raise MAX_CLIENTS."
)
CUT = Refusal(0, "full", "An EventSource reconnects only when it gets no answer at all.")

# Of what is cut without a response:
SILENT = "silent"  # a connection that never sent anything
UNREAD = "unread"  # an answer that was not taken
EVICTED = "evicted"  # kept us waiting while others wanted to come in
FRAMES = "frames"  # a WebSocket with far more frames than any client sends
UPGRADE = "upgrade"  # a request that asked for a protocol we do not speak; it is answered as if it had not
REASONS = tuple(
    dict.fromkeys(
        (
            *(it.reason for it in (NOT_HTTP, BAD_HANDSHAKE, HEAD_TIMEOUT, BODY_TIMEOUT, TOO_LARGE, FULL)),
            SILENT,
            UNREAD,
            EVICTED,
            FRAMES,
            UPGRADE,
        )
    )
)
