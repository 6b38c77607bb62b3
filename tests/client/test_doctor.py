"""The command `doctor` against a real server: a healthy one, and faults that show in the output."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from dashboard_rt.client import diagnosis
from dashboard_rt.client.connection import TransportName
from dashboard_rt.client.doctor import doctor
from tests.client.connecting import unused_address
from tests.fakes import Behaviour, serving


def run(behaviour: Behaviour, *arguments: str, seconds: float = 0.6) -> Result:
    with serving(behaviour) as fake:
        return CliRunner().invoke(doctor, [fake.url, "--seconds", str(seconds), *arguments])


def sections(result: Result) -> tuple[str, str]:
    """Return the output's section about SSE, and the one about the cable."""
    sse, _, cable = result.output.partition("\ncable  ")
    return sse, cable


def test_a_healthy_server() -> None:
    result = run(Behaviour())
    assert result.exit_code == 0, result.output
    assert "Both transports are healthy." in result.output
    for section in sections(result):
        assert "  healthy" in section
        assert "FINDING" not in section
        for step in ("connect", "head", "first byte", "first event", "first update"):
            assert f"{step} " in section
    assert "200 HTTP/1.1" in result.output
    assert "actioncable-v1-ext-json, not compressed" in result.output


@pytest.mark.parametrize(
    ("behaviour", "sse_message", "cable_message"),
    [
        (Behaviour(status=502), "answered 502", "answered 502"),
        (Behaviour(status=404), "answered 404", "proxy_set_header Upgrade"),
        (Behaviour(mute=True), "there was no first byte: something buffers", "no first byte"),
        (
            Behaviour(content_type="text/html", reject=True),
            "text/html instead of",
            "rejected the subscription",
        ),
        (Behaviour(subprotocol=None), None, "no subprotocol was named"),
        (Behaviour(subprotocol="graphql-ws"), None, "graphql-ws"),
        (Behaviour(drop=5), "were lost", "were lost"),
        (Behaviour(double=5), "doubled", "doubled"),
        (Behaviour(cut_after=20), "the connection ended after 0.", "the connection broke after 0."),
        (Behaviour(goodbye="full", cut_after=5), "goodbye after 0", "full"),
        (Behaviour(goodbye="full", cut_after=0, verdict=False), "goodbye after 0", "full"),
        (Behaviour(headers={"content-length": "100000"}), "content-length (100000)", None),
    ],
)
def test_findings_of_each_transport(
    behaviour: Behaviour, sse_message: str | None, cable_message: str | None
) -> None:
    result = run(behaviour)
    assert result.exit_code == 1, result.output
    for section, message in zip(sections(result), (sse_message, cable_message), strict=True):
        assert ("FINDING" in section) is (message is not None)
        assert message is None or message in section


def test_several_findings_at_once() -> None:
    headers = {"x-accel-buffering": "yes"}
    behaviour = Behaviour(
        gzip=True, headers=headers, deflate=True, subprotocol="actioncable-v1-json", heartbeat=None
    )
    result = run(behaviour)
    sse, cable = sections(result)
    assert "the stream is compressed (gzip)" in sse
    assert "x-accel-buffering is 'yes'" in sse
    assert "permessage-deflate was negotiated" in cable
    assert "the subprotocol is actioncable-v1-json" in cable
    assert "too short to see a heartbeat: use --seconds 36" in sse
    assert "too short to see a heartbeat: use --seconds 8" in cable
    assert "4 findings." in result.output
    assert result.exit_code == 1


def test_buffering_of_one_transport_shows_in_its_times_and_against_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnosis, "SLOW_SECONDS", 0.15)
    monkeypatch.setitem(diagnosis.MAX_DELAY_SPREAD_SECONDS, TransportName.SSE, 0.15)
    # The cable of the same server is not held back.
    monkeypatch.setattr("tests.fakes.held_back", lambda numbers, _seconds: numbers)
    result = run(Behaviour(hold=0.5), seconds=1.8)
    sse, cable = sections(result)
    assert "first byte came 0." in sse
    assert "in lumps" in sse
    assert "later than over cable" in sse
    assert sse.count("proxy_buffering off") == 1
    assert "first update" in cable
    assert "later than" not in cable  # neither than over SSE, nor its own events
    assert result.exit_code == 1


def test_a_refused_origin_is_told_apart_from_a_wrong_path() -> None:
    result = run(Behaviour(origin="https://page.example"))
    for section in sections(result):
        assert "is refused (40" in section
        assert "without an Origin it works" in section
        assert "ALLOWED_ORIGINS" in section
    assert result.exit_code == 1


def test_an_allowed_cross_origin_page_needs_cors_on_sse() -> None:
    behaviour = Behaviour(origin="https://page.example")
    result = run(behaviour, "--origin", "https://page.example")
    sse, cable = sections(result)
    assert "may not read it (access-control-allow-origin: missing)" in sse
    assert "FINDING" not in cable
    allowed = {"access-control-allow-origin": "https://page.example", "x-accel-buffering": "no"}
    result = run(Behaviour(headers=allowed), "--origin", "https://page.example")
    assert result.exit_code == 0, result.output


def test_a_web_view_is_asked_for_as_any_other_page() -> None:
    headers = {"access-control-allow-origin": "capacitor://localhost", "x-accel-buffering": "no"}
    behaviour = Behaviour(origin="capacitor://localhost", headers=headers)
    result = run(behaviour, "--origin", "capacitor://localhost")
    assert result.exit_code == 0, result.output


def test_a_foreign_server_and_a_removed_header_are_notes() -> None:
    result = run(Behaviour(verdict=False, headers={}))
    assert result.exit_code == 0, result.output
    assert "note: the server tells no verdict" in result.output
    assert "note: no x-accel-buffering header arrived" in result.output


def test_headers_of_a_stranger_are_printed_as_text() -> None:
    headers = {"x-accel-buffering": "no", "via": "a\x9b31m"}
    result = run(Behaviour(headers=headers))
    assert r"via: a\u009b31m" in result.output
    assert all(line.isprintable() for line in result.output.split("\n"))


def test_an_environment_that_cannot_be_used_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense:x")
    result = CliRunner().invoke(doctor, ["http://elsewhere.invalid", "--seconds", "1"])
    assert result.exit_code == 1
    assert result.output.count("FINDING: HTTP_PROXY=nonsense:x cannot be used") == 2


def test_no_server() -> None:
    result = CliRunner().invoke(doctor, [f"http://{unused_address()}", "--seconds", "1"])
    assert result.exit_code == 1
    assert result.output.count("(connection refused): check that the server runs") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["ftp://x"], "is not a URL of a server"),
        (["h", "--seconds", "0"], "--seconds"),
        (["h", "--seconds", "nan"], "is not a number of seconds"),
        (["h", "--seconds", "inf"], "is not a number of seconds"),
        (["h", "--origin", "example.org"], "is no origin"),
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(doctor, arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_help_has_an_example_and_the_exit_codes() -> None:
    text = CliRunner().invoke(doctor, ["--help"]).output
    assert "dashboard-rt doctor https://example.org" in text
    assert "something was found" in text
