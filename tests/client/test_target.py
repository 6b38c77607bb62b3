"""Which URLs can be given, and which endpoints they mean."""

from __future__ import annotations

import pytest

from dashboard_rt.client.connection import TransportName
from dashboard_rt.client.target import BadTarget, read_target


@pytest.mark.parametrize(
    "url",
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
def test_a_base_url_a_page_and_an_endpoint_give_both_endpoints(url: str) -> None:
    target = read_target(url)
    assert target.url(TransportName.SSE) == "http://127.0.0.1:3000/dashboard/stream"
    assert target.url(TransportName.CABLE) == "ws://127.0.0.1:3000/cable"
    assert target.origin == "http://127.0.0.1:3000"
    assert target.loopback


def test_https_stays_secure_with_a_path_prefix() -> None:
    target = read_target("https://Example.org/ops/dashboard/")
    assert target.sse == "https://Example.org/ops/dashboard/stream"
    assert target.cable == "wss://Example.org/ops/cable"
    assert not target.loopback


def test_the_origin_has_no_user_and_no_default_port() -> None:
    assert read_target("wss://me:pw@Example.org:443").origin == "https://example.org"
    assert read_target("http://example.org:8080").origin == "http://example.org:8080"


def test_both_endpoints_get_the_stream() -> None:
    for target in (read_target("h:1", "a b"), read_target("h:1/dashboard/stream?stream=a+b")):
        assert target.sse == "http://h:1/dashboard/stream?stream=a+b"
        assert target.identifier == '{"channel":"DashboardUpdatesChannel","stream":"a b"}'
    assert read_target("h:1").identifier == '{"channel":"DashboardUpdatesChannel"}'


def test_a_query_belongs_to_the_endpoint_that_it_was_given_with() -> None:
    target = read_target("ws://h:1/cable?token=x")
    assert (target.sse, target.cable) == ("http://h:1/dashboard/stream", "ws://h:1/cable?token=x")
    target = read_target("http://h:1?token=x")
    assert (target.sse, target.cable) == ("http://h:1/dashboard/stream?token=x", "ws://h:1/cable")


def test_another_path_of_a_ws_url_is_the_cable_endpoint() -> None:
    target = read_target("ws://h:1/push")
    assert (target.sse, target.cable) == ("http://h:1/dashboard/stream", "ws://h:1/push")


@pytest.mark.parametrize(
    "url", ["ftp://h", "http://", "", "http://[", "[::1", "http://h:99999", "http://h:x", "http://a b", "h:0"]
)
def test_an_unusable_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(BadTarget, match="give one such as http"):
        read_target(url)


@pytest.mark.parametrize(("host", "local"), [("localhost", True), ("[::1]", True), ("10.0.0.1", False)])
def test_loopback_hosts_are_recognized(host: str, local: bool) -> None:
    assert read_target(f"http://{host}:3000").loopback is local
