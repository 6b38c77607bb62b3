"""What may be typed as URL."""

from __future__ import annotations

import pytest

from dashboard_rt.client.target import BadTarget, read_target
from dashboard_rt.types import Transport


@pytest.mark.parametrize(
    "typed",
    [
        "http://127.0.0.1:3000",
        "http://127.0.0.1:3000/",
        "127.0.0.1:3000",
        "http://127.0.0.1:3000/dashboard",
        "http://127.0.0.1:3000/dashboard/sse-test",
        "http://127.0.0.1:3000/dashboard/stream",
        "http://127.0.0.1:3000/cable",
        "ws://127.0.0.1:3000",
        "ws://127.0.0.1:3000/cable",
    ],
)
def test_a_base_a_page_or_an_endpoint_name_both_endpoints(typed: str) -> None:
    target = read_target(typed)
    assert target.url(Transport.SSE) == "http://127.0.0.1:3000/dashboard/stream"
    assert target.url(Transport.CABLE) == "ws://127.0.0.1:3000/cable"
    assert target.origin == "http://127.0.0.1:3000"
    assert target.loopback


def test_https_stays_secure_behind_a_prefix() -> None:
    target = read_target("https://Example.org/ops/dashboard/")
    assert target.sse == "https://Example.org/ops/dashboard/stream"
    assert target.cable == "wss://Example.org/ops/cable"
    assert not target.loopback


def test_the_origin_has_no_user_and_no_usual_port() -> None:
    assert read_target("wss://me:pw@Example.org:443").origin == "https://example.org"
    assert read_target("http://example.org:8080").origin == "http://example.org:8080"


def test_a_stream_goes_to_both() -> None:
    for target in (read_target("h:1", "a b"), read_target("h:1/dashboard/stream?stream=a+b")):
        assert target.sse == "http://h:1/dashboard/stream?stream=a+b"
        assert target.identifier == '{"channel":"DashboardUpdatesChannel","stream":"a b"}'
    assert read_target("h:1").identifier == '{"channel":"DashboardUpdatesChannel"}'


def test_a_query_stays_with_its_endpoint() -> None:
    target = read_target("ws://h:1/cable?token=x")
    assert (target.sse, target.cable) == ("http://h:1/dashboard/stream", "ws://h:1/cable?token=x")
    target = read_target("http://h:1?token=x")
    assert (target.sse, target.cable) == ("http://h:1/dashboard/stream?token=x", "ws://h:1/cable")


def test_another_path_of_a_ws_url_is_the_cable_itself() -> None:
    target = read_target("ws://h:1/push")
    assert (target.sse, target.cable) == ("http://h:1/dashboard/stream", "ws://h:1/push")


@pytest.mark.parametrize(
    "typed", ["ftp://h", "http://", "", "http://h:99999", "http://h:x", "http://a b", "h:0"]
)
def test_anything_else_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(BadTarget, match="give one such as http"):
        read_target(typed)


@pytest.mark.parametrize(("host", "local"), [("localhost", True), ("[::1]", True), ("10.0.0.1", False)])
def test_proxies_are_not_asked_for_this_machine(host: str, local: bool) -> None:
    assert read_target(f"http://{host}:3000").loopback is local
