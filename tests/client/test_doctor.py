"""The command `doctor`: each thing that may be wrong, on a real server that does it."""

from __future__ import annotations

import socket

import pytest
from click.testing import CliRunner, Result

from dashboard_rt.client.doctor import doctor
from tests.fakes import Behaviour, serving


def run(behaviour: Behaviour, *arguments: str, seconds: float = 0.6) -> Result:
    with serving(behaviour) as fake:
        return CliRunner().invoke(doctor, [fake.url, "--seconds", str(seconds), *arguments])


def sections(result: Result) -> tuple[str, str]:
    """What is said about SSE, and about the cable."""
    sse, _, cable = result.output.partition("\ncable  ")
    return sse, cable


def test_a_healthy_server() -> None:
    result = run(Behaviour())
    assert result.exit_code == 0, result.output
    assert "Both transports are healthy." in result.output
    for part in sections(result):
        assert "  healthy" in part
        for step in ("connect", "head", "first byte", "first event", "first update"):
            assert f"{step} " in part
    assert "200 HTTP/1.1" in result.output
    assert "actioncable-v1-ext-json, not compressed" in result.output


@pytest.mark.parametrize(
    ("behaviour", "sse_says", "cable_says"),
    [
        (Behaviour(status=502), "answered 502", "answered 502"),
        (Behaviour(status=404), "answered 404", "proxy_set_header Upgrade"),
        (Behaviour(mute=True), "there was no first byte: something buffers", "no first byte"),
        (Behaviour(content_type="text/html"), "text/html instead of text/event-stream", None),
        (Behaviour(gzip=True), "the stream is compressed (gzip)", None),
        (Behaviour(headers={"x-accel-buffering": "yes"}), "x-accel-buffering is 'yes'", None),
        (Behaviour(deflate=True), None, "permessage-deflate was negotiated"),
        (Behaviour(subprotocol=None), None, "no subprotocol was named"),
        (Behaviour(subprotocol="actioncable-v1-json"), None, "the subprotocol is actioncable-v1-json"),
        (Behaviour(subprotocol="graphql-ws"), None, "graphql-ws"),
        (Behaviour(drop=5), "were lost", "were lost"),
        (Behaviour(double=5), "doubled", "doubled"),
        (Behaviour(cut_after=20), "the connection ended after 0.", "the connection broke after 0."),
        (Behaviour(goodbye="full", cut_after=5), "goodbye after 0", "full"),
        (Behaviour(reject=True), None, "rejected the subscription"),
    ],
)
def test_findings_of_each_transport(
    behaviour: Behaviour, sse_says: str | None, cable_says: str | None
) -> None:
    result = run(behaviour)
    assert result.exit_code == 1, result.output
    for part, says in zip(sections(result), (sse_says, cable_says), strict=True):
        if says is None:
            assert "FINDING" not in part
        else:
            assert says in part
            assert "FINDING" in part


def test_buffering_shows_in_late_bytes_and_lumps() -> None:
    result = run(Behaviour(hold=1.6, heartbeat=0.3), seconds=4.5)
    sse, cable = sections(result)
    assert "first byte came 1." in sse
    assert "in lumps" in sse
    assert "proxy_buffering off" in sse
    assert "first update" in cable
    assert result.exit_code == 1


def test_buffering_of_one_transport_shows_against_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = Behaviour(hold=1.6, heartbeat=None, verdict=True)
    with serving(behaviour) as fake:
        # The cable of the same server is not held back.
        monkeypatch.setattr("tests.fakes.held_back", lambda numbers, _seconds: numbers)
        result = CliRunner().invoke(doctor, [fake.url, "--seconds", "5.5"])
    sse, cable = sections(result)
    assert "later than over cable" in sse
    assert sse.count("proxy_buffering off") == 1
    assert "later than" not in cable


def test_a_quiet_cable_is_a_finding() -> None:
    result = run(Behaviour(period=100, heartbeat=None), seconds=6.5)
    sse, cable = sections(result)
    assert "nothing came for 6." in cable
    assert "FINDING" not in sse
    assert "too short to judge heartbeats" in sse


def test_a_refused_origin_is_told_apart_from_a_wrong_path() -> None:
    result = run(Behaviour(origin="https://page.example"))
    for part in sections(result):
        assert "is refused (40" in part
        assert "without an Origin it works" in part
        assert "ALLOWED_ORIGINS" in part
    assert result.exit_code == 1


def test_an_allowed_foreign_origin_needs_cors_on_sse() -> None:
    behaviour = Behaviour(origin="https://page.example")
    result = run(behaviour, "--origin", "https://page.example")
    sse, cable = sections(result)
    assert "may not read it (access-control-allow-origin: missing)" in sse
    assert "FINDING" not in cable
    allowed = {"access-control-allow-origin": "https://page.example", "x-accel-buffering": "no"}
    result = run(Behaviour(headers=allowed), "--origin", "https://page.example")
    assert result.exit_code == 0, result.output


def test_a_full_server_does_not_look_like_a_buffer() -> None:
    result = run(Behaviour(goodbye="full", cut_after=0, verdict=False))
    sse, _ = sections(result)
    assert "full" in sse
    assert sse.count("FINDING") == 1


def test_a_foreign_server_and_a_swallowed_header_are_notes() -> None:
    result = run(Behaviour(verdict=False, headers={}))
    assert result.exit_code == 0, result.output
    assert "note: the server tells no verdict" in result.output
    assert "note: no x-accel-buffering header arrived" in result.output


def test_a_collected_stream_has_a_length() -> None:
    result = run(Behaviour(headers={"x-accel-buffering": "no", "content-length": "100000"}))
    assert "content-length (100000)" in result.output
    assert result.exit_code == 1


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    result = CliRunner().invoke(doctor, [f"http://127.0.0.1:{port}", "--seconds", "1"])
    assert result.exit_code == 1
    assert result.output.count("(connection refused): check that the server runs") == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing argument"),
        (["ftp://x"], "is not a URL of a server"),
        (["h", "--seconds", "0"], "--seconds"),
        (["h", "--origin", "example.org"], "is no origin"),
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(doctor, arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_help_has_an_example_and_the_exit_codes() -> None:
    text = CliRunner().invoke(doctor, ["--help"]).output
    assert "dashboard-rt doctor https://example.org" in text
    assert "something was found" in text
