"""Find what is wrong on the way between a client and a server, and what to do about it.

Pure functions of an `Observation` (observation.py). How findings are printed is in doctor.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..types import Position
from .cable import BASE, EXT
from .connection import Event, EventKind, Step, TransportName, json_object
from .failures import FailureReason
from .observation import Observation

SLOW_SECONDS = 1.0  # no step of a healthy connection takes that long, not even around the world
# Heroku's router cuts after 55 s of silence, so half of that; the stock Action Cable client reconnects after 6 s.
MAX_SILENCE_SECONDS = {TransportName.SSE: 25.0, TransportName.CABLE: 6.0}
# Two intervals of 15 s and of 3 s, and some more: watched this long, a heartbeat must have come.
HEARTBEAT_DUE_SECONDS = {TransportName.SSE: 35.0, TransportName.CABLE: 7.0}
# The cable's limit is larger since its pings carry whole seconds only.
MAX_DELAY_SPREAD_SECONDS = {TransportName.SSE: 1.0, TransportName.CABLE: 2.0}

UNBUFFER = (
    "turn buffering and compression off for this path on every proxy "
    "(nginx: `proxy_buffering off; gzip off;`, see X-Accel-Buffering)"
)
UPGRADE = (
    "check the path (usually /cable), and that every proxy passes upgrades on (nginx: `proxy_http_version 1.1; "
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;`)"
)
STEP_ADVICE = {
    Step.CONNECT: "look at the network, and whether the server's listen backlog is full",
    Step.HEAD: "see whether the server is busy (/dashboard/stats) or the proxy waits for the first bytes",
    Step.FIRST_BYTE: UNBUFFER,
    Step.FIRST_EVENT: UNBUFFER,
}
GOODBYE_ADVICE = {
    "full": "raise MAX_CLIENTS or MAX_CLIENTS_PER_ADDRESS, or start another process",
    "server_restart": "it was being restarted: run doctor again",
    "token_expired": "give a fresh ticket with --ticket or DASHBOARD_TICKET",
    "unauthorized": "give a ticket that is not single-use with --ticket or DASHBOARD_TICKET (see POST /tickets)",
    "unavailable": "its database is away: look into its log, or give a ticket that is not single-use",
}


class Finding(NamedTuple):
    """Something wrong, and what to do about it. `harmless`: only a note, which leaves the exit code at 0."""

    name: str
    message: str
    advice: str = ""
    harmless: bool = False


def diagnose(observation: Observation, other: Observation) -> list[Finding]:
    """Return all findings about one transport; `other` is the observation of the other one.

    A connection that did not open is the only finding.
    """
    if observation.head is None:
        return list(explain_unopened(observation))
    found = [finding for check in CHECKS for finding in check(observation)]
    return [*found, *compare_arrivals(observation, other)]


def explain_unopened(observation: Observation) -> Iterator[Finding]:
    """Find why no response opened the stream: refused, unreachable, or no response at all."""
    if observation.origin_refused:
        yield Finding(
            "origin",
            f"a page of {observation.origin} is refused ({observation.refusal_status}), "
            "without an Origin it works",
            "add that origin to ALLOWED_ORIGINS, or let the proxy pass the Host header on "
            "(nginx: `proxy_set_header Host $http_host;`)",
        )
    elif observation.failure is not None and _is_upgrade_lost(observation):
        status = observation.refusal_status
        message = f"{observation.url} answered {status}, with an Origin or without"
        yield Finding("upgrade", message, UPGRADE)
    elif observation.failure is not None:
        yield Finding(observation.failure.reason, str(observation.failure))
    else:
        yield Finding("no_answer", f"no head of an answer came within {observation.seconds:g} s", UNBUFFER)


def _is_upgrade_lost(observation: Observation) -> bool:
    # A server that never sees the upgrade has no such page. With the origin ruled out that is the likely reason.
    return observation.transport is TransportName.CABLE and observation.refusal_status in (403, 404)


def check_sse_head(observation: Observation) -> Iterator[Finding]:
    """Find what a proxy changed in the response head of SSE."""
    assert observation.head is not None
    headers = observation.head.headers
    if observation.transport is not TransportName.SSE:
        return
    if "content-length" in headers:
        message = f"the stream has a content-length ({headers['content-length']}): it was collected"
        yield Finding("content_length", message, UNBUFFER)
    if "x-accel-buffering" not in headers:
        # nginx obeys the header and does not pass it on
        if not headers.get("server", "").startswith("nginx"):
            message = "no x-accel-buffering header arrived"
            advice = "fine where an nginx on the way took it, else let the proxy pass it on"
            yield Finding("x_accel_buffering", message, advice, harmless=True)
    elif headers["x-accel-buffering"].lower() != "no":
        message = f"x-accel-buffering is {headers['x-accel-buffering']!r}"
        advice = "it must say `no`, or nginx collects events before it sends them"
        yield Finding("x_accel_buffering", message, advice)
    if observation.head.http_version == "HTTP/1.0":
        message = "the answer is HTTP/1.0: no chunks, the end of the stream is the end of the connection"
        advice = "works; `proxy_http_version 1.1;` tells a cut from an end"
        yield Finding("http_version", message, advice, harmless=True)


def check_compression(observation: Observation) -> Iterator[Finding]:
    """Find compression, which holds bytes back and costs memory per connection."""
    assert observation.head is not None
    encoding = observation.head.headers.get("content-encoding", "identity")
    if encoding != "identity":
        advice = "leave text/event-stream out of what the proxy compresses: a compressor holds events back"
        yield Finding("compression", f"the stream is compressed ({encoding})", advice)
    if "permessage-deflate" in observation.head.extensions:
        advice = "set WS_COMPRESSION=off: it takes 32 to 64 KB a connection, and each client's bytes are packed alone"
        yield Finding("compression", "permessage-deflate was negotiated", advice)


def check_subprotocol(observation: Observation) -> Iterator[Finding]:
    """Find an Action Cable protocol other than the extended one, which was offered first."""
    assert observation.head is not None
    agreed = observation.head.subprotocol
    if observation.transport is not TransportName.CABLE or agreed == EXT:
        return
    if agreed is None:
        advice = "let the proxy pass Sec-WebSocket-Protocol on both ways; the stock client closes without it"
        yield Finding("subprotocol", f"no subprotocol was named, offered were {EXT} and {BASE}", advice)
    else:
        advice = (
            f"let the proxy pass the whole Sec-WebSocket-Protocol on; without {EXT} nothing can be resumed"
        )
        yield Finding("subprotocol", f"the subprotocol is {agreed}, {EXT} was offered first", advice)


def check_cors(observation: Observation) -> Iterator[Finding]:
    """Find a missing CORS header. Only SSE needs one: the cable refuses an origin in its handshake."""
    assert observation.head is not None
    allowed = observation.head.headers.get("access-control-allow-origin")
    if observation.transport is not TransportName.SSE or not observation.cross_origin:
        return
    if allowed not in (observation.origin, "*"):
        header = f"access-control-allow-origin: {allowed or 'missing'}"
        message = f"a page of {observation.origin} may not read it ({header})"
        yield Finding("cors", message, "add that origin to ALLOWED_ORIGINS")


def check_steps(observation: Observation) -> Iterator[Finding]:
    """Find steps of the connection that took too long, or that never completed."""
    marks = observation.timing.marks
    previous_mark, previous_name = 0.0, "the beginning"
    for step, advice in STEP_ADVICE.items():
        name = f"late_{step.replace(' ', '_')}"
        if step not in marks and observation.ended_after is not None:
            return  # check_ending reports why
        if step not in marks:
            message = f"{observation.watched:.1f} s after its head there was no {step}: something buffers"
            yield Finding(name, message, advice)
            return
        took = marks[step] - previous_mark
        if took > SLOW_SECONDS:
            yield Finding(name, f"{step} came {took:.2f} s after {previous_name}", advice)
        previous_mark, previous_name = marks[step], str(step)


def check_buffering(observation: Observation) -> Iterator[Finding]:
    """Find events that were sent apart and arrived together: without a buffer their delays are alike.

    Only differences of delays are compared, so the clocks need not agree. Heartbeats and updates are compared
    apart, since their timestamps may come from two machines.
    """
    for sent_and_received in (_heartbeat_times(observation), _update_times(observation)):
        delays = [received - sent for sent, received in sent_and_received]
        spread = max(delays) - min(delays) if delays else 0.0
        if spread > MAX_DELAY_SPREAD_SECONDS[observation.transport]:
            message = f"some events came {spread:.1f} s later than others: in lumps"
            yield Finding("buffering", message, UNBUFFER)
            return


def _heartbeat_times(observation: Observation) -> list[tuple[float, float]]:
    heartbeats = observation.of_kind(EventKind.HEARTBEAT)
    return [(event.sent_at, event.received_at) for event in heartbeats if event.sent_at is not None]


def _update_times(observation: Observation) -> list[tuple[float, float]]:
    updates = [
        (json_object(event.text).get("published_at_ms"), event.received_at)
        for event in _live_updates(observation)
    ]
    return [(ms / 1000, received_at) for ms, received_at in updates if isinstance(ms, int | float)]


def _live_updates(observation: Observation) -> list[Event]:
    # The first update of a connection may be a state that was published long before.
    return observation.of_kind(EventKind.UPDATE)[1:]


def compare_arrivals(observation: Observation, other: Observation) -> Iterator[Finding]:
    """Find updates that arrived later than over the other transport."""
    own, others = _arrival_times(observation), _arrival_times(other)
    lags = [own[position] - others[position] for position in own.keys() & others.keys()]
    if lags and (lag := max(lags)) > SLOW_SECONDS:
        message = f"updates come up to {lag:.1f} s later than over {other.transport}"
        yield Finding("behind", message, UNBUFFER)


def _arrival_times(observation: Observation) -> dict[Position, float]:
    updates = _live_updates(observation)
    return {event.position: event.received_at for event in updates if event.position is not None}


def check_silence(observation: Observation) -> Iterator[Finding]:
    """Find silences after which clients or routers hang up, and missing heartbeats."""
    if observation.transport is TransportName.CABLE:
        advice = "set CABLE_PING to 3: the stock client reconnects after 6 s without a frame; else something buffers"
    else:
        advice = "set SSE_HEARTBEAT to 15: routers cut quiet connections, Heroku's after 55 s; else something buffers"
    silence, watched = observation.longest_silence, observation.watched
    heartbeats = observation.of_kind(EventKind.HEARTBEAT)
    if observation.events and silence > MAX_SILENCE_SECONDS[observation.transport]:
        yield Finding("silence", f"nothing came for {silence:.1f} s", advice)
    elif not heartbeats and watched > HEARTBEAT_DUE_SECONDS[observation.transport]:
        yield Finding("no_heartbeat", f"no heartbeat came in {watched:.1f} s", advice)


def check_updates(observation: Observation) -> Iterator[Finding]:
    """Find lost and doubled updates, and a missing verdict."""
    lost, doubled = observation.checker.lost, observation.checker.doubled
    updates = observation.of_kind(EventKind.UPDATE)
    if lost or doubled:
        message = f"of {len(updates)} updates {lost} were lost, {doubled} doubled"
        yield Finding("sequence", message, "report it with the output of `dashboard-rt listen --debug`")
    if updates and not any(event.verdict for event in observation.events):
        advice = "it is not dashboard-rt: nothing resumes"
        yield Finding("no_verdict", "the server tells no verdict", advice, harmless=True)


def check_ending(observation: Observation) -> Iterator[Finding]:
    """Find a connection that ended before the time was over."""
    if observation.ended_after is None:
        return
    ended, failure = f"{observation.ended_after:.1f} s", observation.failure
    goodbye = next(iter(observation.of_kind(EventKind.GOODBYE)), None)
    if goodbye is not None:
        reason = goodbye.goodbye_reason
        advice = GOODBYE_ADVICE.get(reason, "the server's log says why")
        yield Finding("goodbye", f"the server said goodbye after {ended}: {reason}", advice)
    elif failure is not None and failure.reason is not FailureReason.DROPPED:
        yield Finding(failure.reason, str(failure))
    else:
        how = "ended" if failure is None else "broke"
        advice = "raise the read timeout of the proxy (nginx: `proxy_read_timeout 1h;`), or see why the server cut it"
        yield Finding("cut", f"the connection {how} after {ended}, without a goodbye", advice)


CHECKS = (
    check_sse_head,
    check_compression,
    check_subprotocol,
    check_cors,
    check_steps,
    check_buffering,
    check_silence,
    check_updates,
    check_ending,
)
