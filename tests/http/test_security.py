"""security: tokens, origins, CORS, the same-origin check, the rate limit."""

from __future__ import annotations

import pytest

from dashboard_rt.errors import Forbidden, NotFound, TooManyRequests, Unauthorized
from dashboard_rt.http.security import (
    TokenBucket,
    cors_headers,
    header,
    is_own_origin,
    may_connect,
    require_same_origin,
    require_token,
)

ALLOWED = ("https://dash.example", "http://localhost:5173")


def test_header_is_the_first_of_its_name() -> None:
    headers = [(b"a", b"1"), (b"host", b"x\xe9"), (b"host", b"y")]
    assert header(headers, b"host") == "xé"
    assert header(headers, b"origin") is None


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
