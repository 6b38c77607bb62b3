"""Observations of a healthy server, built by hand for the pure checks: times in seconds after the response head."""

from __future__ import annotations

from dashboard_rt.client.cable import EXT
from dashboard_rt.client.connection import Event, EventKind, ResponseHead, Step, TransportName
from dashboard_rt.client.observation import Observation
from dashboard_rt.types import Position, Verdict

ORIGIN = "http://example.org"
STEPS = {Step.CONNECT: 0.01, Step.HEAD: 0.02, Step.FIRST_BYTE: 0.03, Step.FIRST_EVENT: 0.03}


def observed(
    transport: TransportName, *events: Event, watched: float = 5.0, headers: dict[str, str] | None = None
) -> Observation:
    """Return an observation whose response head and steps are without fault."""
    observation = Observation(transport, "URL", watched, ORIGIN, cross_origin=False, watched=watched)
    if transport is TransportName.SSE:
        head = {"content-type": "text/event-stream", "x-accel-buffering": "no"}
        observation.head = ResponseHead(200, "HTTP/1.1", head if headers is None else headers)
    else:
        observation.head = ResponseHead(101, "HTTP/1.1", {}, subprotocol=EXT)
    observation.timing.started_at = -STEPS[Step.HEAD]  # so that `head_at` is 0
    observation.timing.marks = dict(STEPS)
    for event in events:
        observation.events.append(event)
        observation.checker.check(event)
    return observation


def verdict(at: float = 0.0, id: int = 0) -> Event:
    return Event(EventKind.VERDICT, "", Position("e", id), verdict=Verdict.FRESH, received_at=at)


def update(at: float, id: int, published: float | None = None) -> Event:
    text = "{}" if published is None else f'{{"published_at_ms":{published * 1000}}}'
    return Event(EventKind.UPDATE, text, Position("e", id), received_at=at)


def heartbeat(at: float, sent: float | None = None) -> Event:
    return Event(EventKind.HEARTBEAT, "", sent_at=sent, received_at=at)
