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
        "HTTP://127.0.0.1:3000/#top",
        " http://127.0.0.1:3000\n",
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


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("http://me:s3cret@h:1", "http://me:***@h:1/dashboard/stream"),
        ("http://me:s3@cr:et@h:1", "http://me:***@h:1/dashboard/stream"),
        ("http://:s3cret@h:1", "http://:***@h:1/dashboard/stream"),
        ("http://me@h:1", "http://me@h:1/dashboard/stream"),
        ("http://h:1?token=s3cret&a=1", "http://h:1/dashboard/stream?token=***&a=1"),
        ("http://h:1?a=1&Api_Key=s3cret", "http://h:1/dashboard/stream?a=1&Api_Key=***"),
    ],
)
def test_secrets_are_not_shown(typed: str, shown: str) -> None:
    assert read_target(typed).url(TransportName.SSE) == shown
    assert "s3" not in read_target(typed).url(TransportName.CABLE)


def test_a_refused_url_shows_no_secret() -> None:
    with pytest.raises(BadTarget, match=r"'ftp://me:\*\*\*@h\?token=\*\*\*'"):
        read_target("ftp://me:s3cret@h?token=s3cret")


def test_a_user_without_a_password_has_an_empty_one_for_the_cable() -> None:
    assert read_target("http://me@h:1").cable == "ws://me:@h:1/cable"
    assert read_target("http://me:pw@h:1").cable == "ws://me:pw@h:1/cable"


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


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("0.0.0.0", True),
        ("[::]", True),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_hosts_are_recognized(host: str, local: bool) -> None:
    assert read_target(f"http://{host}:3000").loopback is local


@pytest.mark.parametrize(
    ("url", "health"),
    [
        ("example.org", "http://example.org/health"),
        ("https://u:p@example.org/dash/", "https://u:p@example.org/dash/health"),
        ("https://example.org/dash/cable?jid=1", "https://example.org/dash/health"),
        ("example.org/dash/dashboard/stream?ticket=1", "http://example.org/dash/health"),
        ("wss://example.org/elsewhere", "https://example.org/health"),
    ],
)
def test_health_is_beside_the_endpoints(url: str, health: str) -> None:
    assert read_target(url).health == health


def test_a_ticket_is_sent_in_a_header_and_not_in_an_address() -> None:
    target = read_target("example.org", ticket="a.b.c")
    assert target.headers == {"authorization": "Bearer a.b.c"}
    assert "a.b.c" not in target.sse + target.cable
    assert read_target("example.org").headers == {}


@pytest.mark.parametrize(
    ("url", "ticket"), [("http://u:p@example.org", "a"), ("example.org", "a\nb"), ("a.b", "é")]
)
def test_a_ticket_that_cannot_be_sent(url: str, ticket: str) -> None:
    with pytest.raises(BadTarget, match="ticket"):
        read_target(url, ticket=ticket)


def test_tickets_in_addresses_are_masked() -> None:
    shown = read_target("http://example.org/cable?jid=a.b.c&x=1").url(TransportName.CABLE)
    assert shown == "ws://example.org/cable?jid=***&x=1"
    shown = read_target("http://example.org/dashboard/stream?ticket=a.b.c").url(TransportName.SSE)
    assert shown == "http://example.org/dashboard/stream?ticket=***"
