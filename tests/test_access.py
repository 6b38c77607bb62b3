"""Tokens, origins and the rate limit."""

from __future__ import annotations

import pytest

from dashboard_rt.access import Bucket, require_same_origin, require_token
from dashboard_rt.errors import Forbidden, NotFound, TooManyRequests, Unauthorized


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
def test_other_origins(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Forbidden):
        require_same_origin(headers)


def test_bucket() -> None:
    now = [0.0]
    bucket = Bucket(rate=2, burst=3, clock=lambda: now[0])
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
