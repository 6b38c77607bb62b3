"""What the checks find in an observation. All of it is pure; test_doctor.py has the same faults on a real server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboard_rt.client.cable import BASE
from dashboard_rt.client.connection import Event, EventKind, ResponseHead, Step, TransportName
from dashboard_rt.client.diagnosis import Finding, diagnose
from dashboard_rt.client.failures import ConnectionFailed, FailureReason
from dashboard_rt.client.observation import Observation
from tests.client.observations import heartbeat, observed, update, verdict

SSE, CABLE = TransportName.SSE, TransportName.CABLE
GOODBYE = Event(EventKind.GOODBYE, '{"reason":"full"}', received_at=1)


def findings(observation: Observation, other: Observation | None = None) -> list[Finding]:
    return diagnose(observation, other or observed(CABLE))


def the_finding(observation: Observation, other: Observation | None = None) -> Finding:
    """Return the only finding."""
    (finding,) = findings(observation, other)
    return finding


def refused(transport: TransportName, status: int, origin_refused: bool = False) -> Observation:
    observation = observed(transport)
    observation.head, observation.origin_refused = None, origin_refused
    head = ResponseHead(status, "HTTP/1.1", {})
    observation.failure = ConnectionFailed(FailureReason.STATUS, f"URL answered {status}.", head)
    return observation


@pytest.mark.parametrize("transport", list(TransportName))
def test_a_healthy_connection_has_no_findings(transport: TransportName) -> None:
    assert findings(observed(transport, verdict(), update(0.1, 1), update(0.2, 2), heartbeat(3))) == []


# ---- connections that did not open


def test_a_refused_origin() -> None:
    finding = the_finding(refused(SSE, 403, origin_refused=True))
    assert "is refused (403)" in finding.message
    assert "ALLOWED_ORIGINS" in finding.advice


def test_an_upgrade_that_never_reached_the_server() -> None:
    assert "proxy_set_header Upgrade" in the_finding(refused(CABLE, 404)).advice
    assert the_finding(refused(SSE, 404)) == Finding("status", "URL answered 404.")
    assert the_finding(refused(CABLE, 502)) == Finding("status", "URL answered 502.")


def test_a_server_that_never_responds() -> None:
    observation = observed(SSE)
    observation.head = None
    assert the_finding(observation).name == "no_answer"


# ---- the response head


@pytest.mark.parametrize(
    ("header", "value", "message"),
    [
        ("content-encoding", "gzip", "the stream is compressed (gzip)"),
        ("content-length", "100000", "content-length (100000)"),
        ("x-accel-buffering", "yes", "x-accel-buffering is 'yes'"),
    ],
)
def test_headers_of_a_buffering_proxy(header: str, value: str, message: str) -> None:
    finding = the_finding(observed(SSE, headers={"x-accel-buffering": "no", header: value}))
    assert message in finding.message
    assert not finding.harmless


def test_a_missing_buffering_header_is_a_note_unless_nginx_removed_it() -> None:
    finding = the_finding(observed(SSE, headers={}))
    assert (finding.name, finding.harmless) == ("x_accel_buffering", True)
    assert findings(observed(SSE, headers={"server": "nginx/1.28"})) == []


def test_http_1_0_is_a_note() -> None:
    observation = observed(SSE)
    assert observation.head is not None
    observation.head.http_version = "HTTP/1.0"
    finding = the_finding(observation)
    assert (finding.name, finding.harmless) == ("http_version", True)


@pytest.mark.parametrize(
    ("subprotocol", "extensions", "message"),
    [
        (None, (), "no subprotocol was named"),
        (BASE, (), f"the subprotocol is {BASE}"),
        ("actioncable-v1-ext-json", ("permessage-deflate",), "permessage-deflate was negotiated"),
    ],
)
def test_what_the_handshake_agreed_on(
    subprotocol: str | None, extensions: tuple[str, ...], message: str
) -> None:
    observation = observed(CABLE)
    assert observation.head is not None
    observation.head = replace(observation.head, subprotocol=subprotocol, extensions=extensions)
    assert message in the_finding(observation).message


def test_cors_is_for_sse_and_other_origins() -> None:
    for transport, cross_origin, names in ((SSE, True, ["cors"]), (SSE, False, []), (CABLE, True, [])):
        observation = replace(observed(transport), cross_origin=cross_origin)
        assert [finding.name for finding in findings(observation)] == names
    for allowed in ("*", "http://example.org"):
        headers = {"x-accel-buffering": "no", "access-control-allow-origin": allowed}
        assert findings(replace(observed(SSE, headers=headers), cross_origin=True)) == []


# ---- times


def test_a_slow_step_is_measured_from_the_one_before() -> None:
    observation = observed(SSE)
    observation.timing.marks[Step.FIRST_BYTE] = observation.timing.marks[Step.FIRST_EVENT] = 1.62
    finding = the_finding(observation)
    assert finding.message == "first byte came 1.60 s after head"
    assert "proxy_buffering off" in finding.advice


def test_a_step_that_never_completes_is_a_buffer_unless_the_connection_ended() -> None:
    observation = observed(SSE)
    del observation.timing.marks[Step.FIRST_BYTE]
    assert (
        the_finding(observation).message == "5.0 s after its head there was no first byte: something buffers"
    )
    observation.ended_after = 0.1
    assert the_finding(observation).name == "cut"


@pytest.mark.parametrize("kind", [update, heartbeat])
@pytest.mark.parametrize(("transport", "limit"), [(SSE, 1.0), (CABLE, 2.0)])
def test_events_that_arrive_in_lumps(
    transport: TransportName, limit: float, kind: Callable[..., Event]
) -> None:
    def lump(spread: float) -> Observation:
        sent = [{"published": 100.0}, {"published": 100.0 + spread}]
        if kind is heartbeat:
            return observed(transport, heartbeat(4, 100.0), heartbeat(4, 100.0 + spread))
        later = (kind(4, n, **times) for n, times in enumerate(sent, start=2))
        return observed(transport, verdict(), update(0, 1, published=0), *later)

    assert findings(lump(limit - 0.1)) == []
    assert the_finding(lump(limit + 0.1)).name == "buffering"


def test_updates_that_arrive_later_than_over_the_other_transport() -> None:
    early = observed(CABLE, verdict(), update(0, 1), update(1, 2))
    late = observed(SSE, verdict(), update(0, 1), update(2.6, 2))
    assert the_finding(late, early).message == "updates come up to 1.6 s later than over cable"
    assert findings(early, late) == []


def test_a_silence_is_judged_by_the_limit_of_its_transport() -> None:
    assert "nothing came for 6.1 s" in the_finding(observed(CABLE, verdict(), watched=6.1)).message
    assert findings(observed(CABLE, verdict(), watched=5.9)) == []
    assert findings(observed(SSE, verdict(), watched=24)) == []
    assert the_finding(observed(SSE, verdict(), watched=26)).name == "silence"


def test_a_heartbeat_must_come_within_its_time() -> None:
    for transport, due in ((SSE, 35), (CABLE, 7)):
        events = [verdict(), *(update(n, n) for n in range(1, due))]
        assert findings(observed(transport, *events, watched=due)) == []
        assert the_finding(observed(transport, *events, watched=due + 1)).name == "no_heartbeat"
        assert findings(observed(transport, *events, heartbeat(due), watched=due + 1)) == []


# ---- updates and the end


def test_lost_and_doubled_updates() -> None:
    observation = observed(SSE, verdict(), update(0, 1), update(0, 3), update(0, 3))
    assert the_finding(observation).message == "of 3 updates 1 were lost, 1 doubled"


def test_a_server_without_verdicts_is_a_note() -> None:
    finding = the_finding(observed(SSE, update(0, 1)))
    assert (finding.message, finding.harmless) == ("the server tells no verdict", True)


def test_how_a_connection_ended() -> None:
    ended = replace(observed(SSE, verdict()), ended_after=1.0)
    assert "the connection ended after 1.0 s" in the_finding(ended).message
    broken = replace(ended, failure=ConnectionFailed(FailureReason.DROPPED, "It broke."))
    assert "the connection broke after 1.0 s" in the_finding(broken).message
    rejected = replace(ended, failure=ConnectionFailed(FailureReason.REJECTED, "Rejected."))
    assert the_finding(rejected) == Finding("rejected", "Rejected.")
    goodbye = the_finding(replace(ended, events=[GOODBYE]))
    assert goodbye.message == "the server said goodbye after 1.0 s: full"
    assert "MAX_CLIENTS" in goodbye.advice


def test_a_full_server_does_not_look_like_a_buffer() -> None:
    observation = replace(observed(SSE, GOODBYE), ended_after=0.1)
    del observation.timing.marks[Step.FIRST_EVENT]
    assert the_finding(observation).name == "goodbye"
