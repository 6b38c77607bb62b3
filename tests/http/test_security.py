"""security: tokens, origins, CORS, the same-origin check, the rate limit."""

from __future__ import annotations

import pytest

from dashboard_rt.errors import Forbidden, NotFound, TooManyRequests, Unauthorized
from dashboard_rt.http.security import (
    TokenBucket,
    cors_headers,
    header,
    header_map,
    is_own_origin,
    may_connect,
    require_operator,
    require_same_origin,
    require_token,
)

ALLOWED = ("https://dash.example", "http://localhost:5173")


def test_header_is_the_first_of_its_name() -> None:
    headers = [(b"a", b"1"), (b"host", b"x\xe9"), (b"host", b"y")]
    assert header(headers, b"host") == "xé"
    assert header(headers, b"origin") is None


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    headers = [(b"a", b" \tx y\t "), (b"b", b"\x0bz")]
    assert header(headers, b"a") == "x y"
    assert header_map(headers) == {b"a": b"x y", b"b": b"\x0bz"}


# ---- the token


@pytest.mark.parametrize("value", [b"Bearer s3cret", b"bearer s3cret", b"Bearer  s3cret "])
def test_the_token_opens(value: bytes) -> None:
    require_token({b"authorization": value}, "s3cret")


@pytest.mark.parametrize(
    "value", [b"", b"Bearer", b"Bearer ", b"Bearer s3cre", b"Basic s3cret", b"s3cret", b"Bearer \xff"]
)
def test_anything_else_does_not(value: bytes) -> None:
    with pytest.raises(Unauthorized):
        require_token({b"authorization": value}, "s3cret")


def test_no_header() -> None:
    with pytest.raises(Unauthorized):
        require_token({}, "s3cret")


def test_no_token_configured() -> None:
    with pytest.raises(NotFound, match="PUBLISH_TOKEN"):
        require_token({b"authorization": b"Bearer "}, None)


# ---- operators

HERE = ("127.0.0.1", 4321)
FAR = ("10.0.0.9", 4321)


def operator(client: object, token: str | None, on_loopback: bool, **headers: str) -> None:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    require_operator({"type": "http", "client": client, "headers": raw}, token, on_loopback)


@pytest.mark.parametrize("client", [HERE, FAR, None])
@pytest.mark.parametrize("on_loopback", [True, False])
def test_the_operators_token_opens_from_anywhere_and_nothing_else_does(
    client: object, on_loopback: bool
) -> None:
    operator(client, "0ps", on_loopback, authorization="Bearer 0ps \t", x_forwarded_for="10.0.0.9")
    wrong: tuple[dict[str, str], ...] = ({}, {"authorization": "Bearer ops"}, {"authorization": "Basic 0ps"})
    for given in wrong:
        with pytest.raises(Unauthorized, match="OPS_TOKEN"):
            operator(client, "0ps", on_loopback, **given)


@pytest.mark.parametrize("client", [HERE, ("127.9.9.9", 1), ("::1", 1), ("::ffff:127.0.0.1", 1)])
@pytest.mark.parametrize("on_loopback", [True, False])
def test_without_one_this_machine_may_read(client: object, on_loopback: bool) -> None:
    operator(client, None, on_loopback)


@pytest.mark.parametrize("client", [FAR, ("::ffff:10.0.0.9", 1), ("2001:db8::1", 1), None])
@pytest.mark.parametrize("on_loopback", [True, False])
def test_without_one_nobody_else_may(client: object, on_loopback: bool) -> None:
    """Not over a Unix socket either, which is where a proxy is."""
    with pytest.raises(Forbidden, match="OPS_TOKEN"):
        operator(client, None, on_loopback)


@pytest.mark.parametrize("name", ["x_forwarded_for", "x_forwarded_proto", "forwarded", "via", "x_real_ip"])
def test_what_a_proxy_on_this_machine_passes_on_is_not_from_it(name: str) -> None:
    for client in (HERE, ("testclient", 1)):
        with pytest.raises(Forbidden):
            operator(client, None, True, **{name: "127.0.0.1"})


def test_a_caller_within_the_process_has_no_address() -> None:
    operator(("testclient", 1), None, on_loopback=True)
    with pytest.raises(Forbidden):
        operator(("testclient", 1), None, on_loopback=False)


# ---- origins


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://a.example", "a.example", True),
        ("https://a.example", "a.example", True),  # a proxy ends TLS
        ("http://a.example:80", "a.example", True),
        ("http://a.example", "a.example:80", True),
        ("https://a.example", "a.example:443", True),
        ("HTTP://A.Example", "a.example", True),
        ("http://a.example:3000", "a.example:3000", True),
        ("http://[::1]:3000", "[::1]:3000", True),
        ("http://a.example:3000", "a.example", False),
        ("http://a.example:8080", "a.example:80", False),
        ("http://evil.example", "a.example", False),
        ("http://a.example.evil.example", "a.example", False),
        ("http://evila.example", "a.example", False),
        ("null", "a.example", False),
        ("", "a.example", False),
        ("http://", "", False),
        ("a.example", "a.example", False),
        ("capacitor://localhost", "localhost", False),  # an app in a web view is no page of a server
        ("chrome-extension://a.example", "a.example", False),
        ("http://a.example", None, False),
    ],
)
def test_is_own_origin(origin: str, host: str | None, own: bool) -> None:
    assert is_own_origin(origin, host) is own


def test_a_client_without_an_origin_connects_unless_one_is_required() -> None:
    assert may_connect(None, "a.example", (), required=False)
    assert not may_connect(None, "a.example", (), required=True)


def test_listed_origins_and_our_own_may_connect() -> None:
    assert may_connect("https://dash.example", "a.example", ALLOWED, required=True)
    assert may_connect("https://DASH.example", "a.example", ALLOWED, required=True)
    assert may_connect("http://a.example", "a.example", (), required=True)
    assert not may_connect("https://dash.example", "a.example", (), required=False)
    assert not may_connect("null", "a.example", ALLOWED, required=False)


def test_apps_in_a_web_view_may_be_listed() -> None:
    for origin in ("capacitor://localhost", "tauri://localhost", "chrome-extension://abcdefgh"):
        assert may_connect(origin, "a.example", (origin,), required=True)
        assert dict(cors_headers(origin, (origin,)))[b"access-control-allow-origin"] == origin.encode()
        assert not may_connect(origin, "localhost", (), required=False)


def test_cors_names_the_origin_and_never_a_star() -> None:
    assert dict(cors_headers("http://localhost:5173", ALLOWED)) == {
        b"vary": b"Origin",
        b"access-control-allow-origin": b"http://localhost:5173",
        b"access-control-allow-credentials": b"true",
    }
    assert cors_headers("http://evil.example", ALLOWED) == [(b"vary", b"Origin")]
    assert cors_headers(None, ALLOWED) == [(b"vary", b"Origin")]


# ---- the same-origin check


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"sec-fetch-site": b"same-origin"},
        {b"origin": b"http://127.0.0.1:3000", b"host": b"127.0.0.1:3000"},
        {b"origin": b"https://App.example", b"host": b"app.example", b"sec-fetch-site": b"same-origin"},
    ],
)
def test_same_origin(headers: dict[bytes, bytes]) -> None:
    require_same_origin(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {b"sec-fetch-site": b"cross-site"},
        {b"sec-fetch-site": b"same-site"},
        {b"origin": b"https://evil.example", b"host": b"app.example"},
        {b"origin": b"null", b"host": b"app.example"},
        {b"origin": b"http://[", b"host": b"app.example"},
        {b"origin": b"http://", b"host": b""},
    ],
)
def test_another_origin(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Forbidden):
        require_same_origin(headers)


# ---- the rate limit


def test_token_bucket() -> None:
    now = [0.0]
    bucket = TokenBucket(rate=2, burst=3, clock=lambda: now[0])
    for _ in range(3):
        bucket.take()
    with pytest.raises(TooManyRequests):
        bucket.take()
    now[0] = 0.5
    bucket.take()
    with pytest.raises(TooManyRequests):
        bucket.take()
    now[0] = 1000.0
    for _ in range(3):
        bucket.take()
    with pytest.raises(TooManyRequests):
        bucket.take()
