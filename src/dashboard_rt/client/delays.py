"""Delays: what the times of a checkup mean: slow steps, buffering, silences. Pure; see findings.py."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..types import Transport
from .checkup import Checkup
from .findings import UNBUFFER, Finding
from .nouns import Moment, What, json_object

SLOW_SECONDS = 1.0  # no step of a healthy connection takes that long, not even around the world
SILENCE_SECONDS = {Transport.SSE: 25.0, Transport.CABLE: 6.0}  # half of Heroku's; the stock client's limit
HEARTBEAT_SECONDS = {Transport.SSE: 35.0, Transport.CABLE: 7.0}  # watched this long, there must have been one
LATE_SECONDS = {Transport.SSE: 1.0, Transport.CABLE: 2.0}  # cable pings carry whole seconds only


def slow_steps(checkup: Checkup) -> Iterator[Finding]:
    """Steps of the connection that took too long, or never came."""
    marks = checkup.timing.marks
    advice = {
        Moment.CONNECT: "look at the network, and whether the server's listen backlog is full",
        Moment.HEAD: "see whether the server is busy (/dashboard/stats) or the proxy waits for the first bytes",
        Moment.FIRST_BYTE: UNBUFFER,
        Moment.FIRST_EVENT: UNBUFFER,
    }
    before, last = 0.0, "the beginning"
    for moment, do in advice.items():
        if moment not in marks and checkup.ended is not None:
            return  # how it ended is the finding
        if moment not in marks:
            says = f"{checkup.watched:.1f} s after its head there was no {moment}: something buffers"
            yield Finding(_step(moment), says, do)
            return
        took = marks[moment] - before
        if took > SLOW_SECONDS:
            yield Finding(_step(moment), f"{moment} came {took:.2f} s after {last}", do)
        before, last = marks[moment], str(moment)


def _step(moment: Moment) -> str:
    return f"late_{moment.replace(' ', '_')}"


def lumps(checkup: Checkup) -> Iterator[Finding]:
    """Whether things that were stamped apart arrived together: on a quiet way the delay is always the same.

    Only differences count, so that the clocks need not agree; those of the two kinds may be two machines'.
    """
    for stamped in (_heartbeats(checkup), _updates(checkup)):
        delays = [at - stamp for at, stamp in stamped]
        late = max(delays) - min(delays) if delays else 0.0
        if late > LATE_SECONDS[checkup.transport]:
            yield Finding("buffering", f"some events came {late:.1f} s later than others: in lumps", UNBUFFER)
            return


def _heartbeats(checkup: Checkup) -> list[tuple[float, float]]:
    return [(heard.at, heard.stamp) for heard in checkup.all(What.HEARTBEAT) if heard.stamp is not None]


def _updates(checkup: Checkup) -> list[tuple[float, float]]:
    live = checkup.all(What.UPDATE)[1:]  # the first may be the newest state, there since long
    published = [(heard.at, json_object(heard.text).get("published_at_ms")) for heard in live]
    return [(at, ms / 1000) for at, ms in published if isinstance(ms, int | float)]


def later(checkup: Checkup, other: Checkup) -> Iterator[Finding]:
    """Whether the same updates arrive later than over the other transport."""
    mine, theirs = _arrivals(checkup), _arrivals(other)
    lags = [mine[position] - theirs[position] for position in mine.keys() & theirs.keys()]
    if lags and (lag := max(lags)) > SLOW_SECONDS:
        yield Finding("behind", f"updates come up to {lag:.1f} s later than over {other.transport}", UNBUFFER)


def _arrivals(checkup: Checkup) -> dict[object, float]:
    live = checkup.all(What.UPDATE)[1:]  # see _updates
    return {heard.position: heard.at for heard in live if heard.position is not None}


def silences(checkup: Checkup) -> Iterator[Finding]:
    """Gaps that make clients and routers hang up."""
    longest, limit = longest_silence(checkup), SILENCE_SECONDS[checkup.transport]
    heartbeats = checkup.all(What.HEARTBEAT)
    if checkup.transport is Transport.CABLE:
        do = "set CABLE_PING to 3: the stock client reconnects after 6 s without a frame; else something buffers"
    else:
        do = "set SSE_HEARTBEAT to 15: routers cut quiet connections, Heroku's after 55 s; else something buffers"
    if checkup.heard and longest > limit:
        yield Finding("silence", f"nothing came for {longest:.1f} s", do)
    elif not heartbeats and checkup.watched > HEARTBEAT_SECONDS[checkup.transport]:
        yield Finding("no_heartbeat", f"no heartbeat came in {checkup.watched:.1f} s", do)


def longest_silence(checkup: Checkup) -> float:
    """Seconds, from the head of the answer to the end of watching."""
    moments = [checkup.head_at, *(heard.at for heard in checkup.heard), checkup.head_at + checkup.watched]
    return max((after - before for before, after in pairwise(moments)), default=0.0)
