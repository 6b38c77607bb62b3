"""Findings: what a checkup means in plain words, and what to do about it. Pure. The times: delays.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..types import Transport
from .cable import BASE, EXT
from .checkup import Checkup
from .failures import Why
from .nouns import Heard, What, json_object

UNBUFFER = (
    "turn buffering and compression off for this path on every proxy "
    "(nginx: `proxy_buffering off; gzip off;`, see X-Accel-Buffering)"
)
UPGRADE = (
    "check the path (usually /cable), and that every proxy passes upgrades on (nginx: `proxy_http_version 1.1; "
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;`)"
)


class Finding(NamedTuple):
    """One thing to know. `note`: harmless by itself, the exit code stays 0."""

    name: str
    says: str
    do: str = ""
    note: bool = False


def not_open(checkup: Checkup) -> Iterator[Finding]:
    """Refused, unreachable, or no answer at all."""
    if checkup.origin_refused:
        yield Finding(
            "origin",
            f"a page of {checkup.origin} is refused ({_status(checkup)}), without an Origin it works",
            "add that origin to ALLOWED_ORIGINS, or let the proxy pass the Host header on "
            "(nginx: `proxy_set_header Host $http_host;`)",
        )
    elif checkup.failed is not None and _upgrade_lost(checkup):
        says = f"{checkup.url} answered {_status(checkup)}, with an Origin or without"
        yield Finding("upgrade", says, UPGRADE)
    elif checkup.failed is not None:
        yield Finding(checkup.failed.why, str(checkup.failed))
    else:
        yield Finding("no_answer", f"no head of an answer came within {checkup.seconds:g} s", UNBUFFER)


def _status(checkup: Checkup) -> int | None:
    head = checkup.failed.head if checkup.failed is not None else None
    return None if head is None else head.status


def _upgrade_lost(checkup: Checkup) -> bool:
    # A server that never sees the upgrade has no such page: with the origin ruled out that is the likely reason.
    return checkup.transport is Transport.CABLE and _status(checkup) in (403, 404)


# ---- the head


def head_says(checkup: Checkup) -> Iterator[Finding]:
    """What a proxy did to the head of an SSE answer."""
    assert checkup.head is not None
    headers, version = checkup.head.headers, checkup.head.http_version
    if checkup.transport is not Transport.SSE:
        return
    if "content-length" in headers:
        says = f"the stream has a content-length ({headers['content-length']}): it was collected"
        yield Finding("content_length", says, UNBUFFER)
    if "x-accel-buffering" not in headers:
        # nginx acts on it and keeps it to itself
        if not headers.get("server", "").startswith("nginx"):
            says = "no x-accel-buffering header arrived"
            do = "fine where an nginx on the way took it, else let the proxy pass it on"
            yield Finding("x_accel_buffering", says, do, note=True)
    elif headers["x-accel-buffering"].lower() != "no":
        says = f"x-accel-buffering is {headers['x-accel-buffering']!r}"
        do = "it must say `no`, or nginx collects events before it sends them"
        yield Finding("x_accel_buffering", says, do)
    if version == "HTTP/1.0":
        says = "the answer is HTTP/1.0: no chunks, the end of the stream is the end of the connection"
        do = "works; `proxy_http_version 1.1;` tells a cut from an end"
        yield Finding("http_version", says, do, note=True)


def compression(checkup: Checkup) -> Iterator[Finding]:
    """Compression collects bytes, and costs memory per connection."""
    assert checkup.head is not None
    encoding = checkup.head.headers.get("content-encoding", "identity")
    if encoding != "identity":
        do = "leave text/event-stream out of what the proxy compresses: a compressor holds events back"
        yield Finding("compression", f"the stream is compressed ({encoding})", do)
    if "permessage-deflate" in checkup.head.extensions:
        do = "set WS_COMPRESSION=off: it takes 32 to 64 KB a connection, and each client's bytes are packed alone"
        yield Finding("compression", "permessage-deflate was negotiated", do)


def subprotocol(checkup: Checkup) -> Iterator[Finding]:
    """Which Action Cable protocol was agreed on."""
    assert checkup.head is not None
    agreed = checkup.head.subprotocol
    if checkup.transport is not Transport.CABLE or agreed == EXT:
        return
    if agreed is None:
        do = "let the proxy pass Sec-WebSocket-Protocol on both ways; the stock client closes without it"
        yield Finding("subprotocol", f"no subprotocol was named, offered were {EXT} and {BASE}", do)
    else:
        do = f"let the proxy pass the whole Sec-WebSocket-Protocol on; without {EXT} nothing can be resumed"
        yield Finding("subprotocol", f"the subprotocol is {agreed}, {EXT} was offered first", do)


def cors(checkup: Checkup) -> Iterator[Finding]:
    """Whether a page of another origin may read the stream; the cable refuses at the handshake instead."""
    assert checkup.head is not None
    allowed = checkup.head.headers.get("access-control-allow-origin")
    if checkup.transport is Transport.SSE and checkup.foreign and allowed not in (checkup.origin, "*"):
        says = f"a page of {checkup.origin} may not read it (access-control-allow-origin: {allowed or 'missing'})"
        yield Finding("cors", says, "add that origin to ALLOWED_ORIGINS")


# ---- what was said


def content(checkup: Checkup) -> Iterator[Finding]:
    """Lost and doubled updates, a missing verdict."""
    ledger = checkup.ledger
    if ledger.lost or ledger.doubled:
        says = f"of {len(checkup.all(What.UPDATE))} updates {ledger.lost} were lost, {ledger.doubled} doubled"
        yield Finding("sequence", says, "report it with the output of `dashboard-rt listen --debug`")
    if checkup.all(What.UPDATE) and not any(heard.verdict for heard in checkup.heard):
        yield Finding(
            "no_verdict", "the server tells no verdict", "it is not dashboard-rt: nothing resumes", True
        )


def ending(checkup: Checkup) -> Iterator[Finding]:
    """Connections that did not last as long as they were watched."""
    if checkup.ended is None:
        return
    goodbye: Heard | None = next(iter(checkup.all(What.GOODBYE)), None)
    if goodbye is not None:
        reason = str(json_object(goodbye.text).get("reason"))
        do = GOODBYES.get(reason, "the server's log says why")
        yield Finding("goodbye", f"the server said goodbye after {checkup.ended:.1f} s: {reason}", do)
    elif checkup.failed is not None and checkup.failed.why is not Why.DROPPED:
        yield Finding(checkup.failed.why, str(checkup.failed))
    else:
        how = "ended" if checkup.failed is None else "broke"
        do = "raise the read timeout of the proxy (nginx: `proxy_read_timeout 1h;`), or see why the server cut it"
        yield Finding("cut", f"the connection {how} after {checkup.ended:.1f} s, without a goodbye", do)


GOODBYES = {
    "full": "raise MAX_CLIENTS or MAX_CLIENTS_PER_ADDRESS, or start another process",
    "server_restart": "it was being restarted: run doctor again",
    "token_expired": "use a fresh token in the URL",
    "unauthorized": "check the token in the URL",
}
