"""origins: whose pages may connect."""

from __future__ import annotations

import pytest

from dashboard_rt.origins import cors, header, is_own, may_connect

ALLOWED = ("https://dash.example", "http://localhost:5173")


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
def test_is_own(origin: str, host: str | None, own: bool) -> None:
    assert is_own(origin, host) is own


def test_no_origin_is_no_browser() -> None:
    assert may_connect(None, "a.example", (), required=False)
    assert not may_connect(None, "a.example", (), required=True)


def test_listed_origins_and_our_own_may_connect() -> None:
    assert may_connect("https://dash.example", "a.example", ALLOWED, required=True)
    assert may_connect("https://DASH.example", "a.example", ALLOWED, required=True)
    assert may_connect("http://a.example", "a.example", (), required=True)
    assert not may_connect("https://dash.example", "a.example", (), required=False)
    assert not may_connect("null", "a.example", ALLOWED, required=False)


def test_cors_names_the_origin_and_never_a_star() -> None:
    assert dict(cors("http://localhost:5173", ALLOWED)) == {
        b"vary": b"Origin",
        b"access-control-allow-origin": b"http://localhost:5173",
        b"access-control-allow-credentials": b"true",
    }
    assert cors("http://evil.example", ALLOWED) == [(b"vary", b"Origin")]
    assert cors(None, ALLOWED) == [(b"vary", b"Origin")]


def test_header_is_the_first_of_its_name() -> None:
    headers = [(b"a", b"1"), (b"host", b"x\xe9"), (b"host", b"y")]
    assert header(headers, b"host") == "xé"
    assert header(headers, b"origin") is None
