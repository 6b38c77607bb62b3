"""What the environment says about the way to a server, over both transports; what cannot be used is one sentence."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dashboard_rt.client import environment
from dashboard_rt.client.connection import ConnectOptions, TransportName
from dashboard_rt.client.environment import Proxy, find_proxy
from dashboard_rt.client.failures import ConnectionFailed, FailureReason, socket_failure
from dashboard_rt.client.target import read_target
from tests.client.connecting import (
    BOTH_TRANSPORTS,
    OPTIONS,
    Opener,
    collect_events,
    connect_and_fail,
    raw_server,
    unused_address,
)
from tests.fakes import Behaviour, serving

ELSEWHERE = "http://elsewhere.invalid"
SSE, CABLE = TransportName.SSE, TransportName.CABLE
BOTH_NAMES = pytest.mark.parametrize("transport", [SSE, CABLE])


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without proxies and certificates; contexts are built anew."""
    for name in [*os.environ]:
        if name.lower().endswith("_proxy") or name.startswith("SSL"):
            monkeypatch.delenv(name)
    environment.trusting_context.cache_clear()
    yield
    environment.trusting_context.cache_clear()


# ---- which proxy


@BOTH_NAMES
@pytest.mark.parametrize(
    ("variable", "value", "url"),
    [
        ("HTTP_PROXY", "http://p:8080", "http://p:8080"),
        ("http_proxy", "p:8080", "http://p:8080"),
        ("ALL_PROXY", "http://p", "http://p:80"),
        ("all_proxy", " https://p/ ", "https://p:443"),
        ("HTTP_PROXY", "http://me@[::1]", "http://me:@[::1]:80"),
        ("HTTP_PROXY", "", None),
        ("HTTP_PROXY", " ", None),
        ("WSS_PROXY", "http://p", None),
    ],
)
def test_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, transport: TransportName, variable: str, value: str, url: str | None
) -> None:
    monkeypatch.setenv(variable, value)
    expected = None if url is None else Proxy(url, variable)
    assert find_proxy(read_target(ELSEWHERE), transport) == expected


@BOTH_NAMES
def test_an_encrypted_endpoint_has_the_proxy_of_its_scheme(
    monkeypatch: pytest.MonkeyPatch, transport: TransportName
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://plain:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://tls:1")
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    secure = read_target("https://elsewhere.invalid")
    assert find_proxy(secure, transport) == Proxy("http://tls:1", "HTTPS_PROXY")


@BOTH_NAMES
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost", "ws://[::1]:1", ELSEWHERE])
def test_a_server_on_this_machine_and_one_that_is_exempt_have_none(
    monkeypatch: pytest.MonkeyPatch, transport: TransportName, url: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://p")
    monkeypatch.setenv("NO_PROXY", "10.0.0.1, .invalid")
    assert find_proxy(read_target(url), transport) is None


@BOTH_NAMES
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("socks5://p:1080", "is not installed"),
        ("socks5h://p", "is not installed"),
        ("socks4://p", "no URL of a proxy"),
        ("ftp://p", "no URL of a proxy"),
        ("http://", "no URL of a proxy"),
        ("http://p:99999", "no URL of a proxy"),
        ("http://p:0", "no URL of a proxy"),
        ("http://[p", "no URL of a proxy"),
        ("http://p q", "no URL of a proxy"),
        ("http://pröxy", "no URL of a proxy"),
        ("http://\x1b[31m", "no URL of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, transport: TransportName, value: str, problem: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(
        ConnectionFailed, match=f"^ALL_PROXY=.*{problem}.*NO_PROXY=elsewhere.invalid"
    ) as caught:
        find_proxy(read_target(ELSEWHERE), transport)
    assert (caught.value.reason, caught.value.permanent) == (FailureReason.PROXY, True)


@BOTH_NAMES
def test_no_password_of_a_proxy_is_shown(monkeypatch: pytest.MonkeyPatch, transport: TransportName) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://me:s3cret@p")
    assert str(find_proxy(read_target(ELSEWHERE), transport)) == "the proxy http://me:***@p:80 of ALL_PROXY"
    monkeypatch.setenv("ALL_PROXY", "ftp://me:s3cret@p")
    with pytest.raises(ConnectionFailed, match=r"ftp://me:\*\*\*@p"):
        find_proxy(read_target(ELSEWHERE), transport)


# ---- connecting through one


@pytest.mark.anyio
@BOTH_TRANSPORTS
async def test_a_proxy_that_is_away(monkeypatch: pytest.MonkeyPatch, opener: Opener) -> None:
    address = unused_address()
    monkeypatch.setenv("HTTP_PROXY", address)
    failure = await connect_and_fail(opener, ELSEWHERE)
    assert (failure.reason, failure.permanent) == (FailureReason.UNREACHABLE, False)
    assert f"through the proxy http://{address} of HTTP_PROXY (connection refused)" in str(failure)


@pytest.mark.anyio
@BOTH_TRANSPORTS
async def test_a_proxy_without_an_address(monkeypatch: pytest.MonkeyPatch, opener: Opener) -> None:
    monkeypatch.setenv("HTTP_PROXY", "no-such-proxy.invalid:1")
    failure = await connect_and_fail(opener, ELSEWHERE)
    assert failure.reason is FailureReason.NO_ADDRESS
    assert "The host of the proxy http://no-such-proxy.invalid:1 of HTTP_PROXY" in str(failure)


@pytest.mark.anyio
@BOTH_TRANSPORTS
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("status", "permanent", "advice"),
    [
        (b"407 Proxy Authentication Required", True, "put user and password into the proxy's URL"),
        (b"403 Forbidden", True, ""),
        (b"502 Bad Gateway", False, ""),
    ],
)
async def test_a_proxy_that_refuses(
    monkeypatch: pytest.MonkeyPatch,
    opener: Opener,
    *,
    scheme: str,
    status: bytes,
    permanent: bool,
    advice: str,
) -> None:
    async with raw_server(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy)
        failure = await connect_and_fail(opener, f"{scheme}://elsewhere.invalid")
    assert failure.permanent is permanent
    assert status[:3].decode() in str(failure) and advice in str(failure)


@pytest.mark.anyio
@BOTH_TRANSPORTS
@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n"])
async def test_a_proxy_that_is_none_says_nothing_but_the_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, opener: Opener, answer: bytes
) -> None:
    async with raw_server(answer) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy)
        await connect_and_fail(opener, ELSEWHERE)
        await asyncio.sleep(0.01)  # its end is told to the loop a turn later
    assert not caplog.records


def test_a_failure_of_tls_on_the_way_names_the_proxy_too() -> None:
    failure = socket_failure(
        ssl.SSLError(1, "wrong version"), "http://h", "the proxy https://p:443 of ALL_PROXY"
    )
    assert "No TLS with http://h through the proxy https://p:443 of ALL_PROXY (wrong version)" in str(failure)


@asynccontextmanager
async def tunnel(port: int) -> AsyncIterator[str]:
    """A proxy that leads every request to this port of this machine; yields its URL."""

    tasks: list[asyncio.Task[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        if head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            inner_writer.write(head.replace(b"http://elsewhere.invalid", b"", 1))
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            tasks.append(asyncio.create_task(pump(source, sink)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.anyio
@BOTH_TRANSPORTS
async def test_a_proxy_that_lets_through(monkeypatch: pytest.MonkeyPatch, opener: Opener) -> None:
    with serving(Behaviour(cut_after=2, goodbye="full")) as fake:
        async with tunnel(fake.port) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            async with opener(read_target(ELSEWHERE), OPTIONS) as connection:
                events = await collect_events(connection)
    assert events[-1].goodbye_reason == "full"


# ---- certificates


@pytest.mark.anyio
@BOTH_TRANSPORTS
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "ALL_PROXY"])
async def test_a_plain_server_on_this_machine_needs_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, opener: Opener, variable: str
) -> None:
    monkeypatch.setenv(variable, "socks5:///nowhere/at/all")
    with serving(Behaviour(cut_after=1, goodbye="full")) as fake:
        async with opener(read_target(fake.url), ConnectOptions(5)) as connection:
            assert await collect_events(connection)


@pytest.mark.anyio
@BOTH_TRANSPORTS
@pytest.mark.parametrize(
    ("variable", "name", "problem"),
    [
        ("SSL_CERT_FILE", "nowhere", "No such file or directory"),
        ("SSL_CERT_FILE", ".", ""),
        ("SSL_CERT_FILE", "empty", "it holds no certificate"),
        ("SSL_CERT_DIR", "nowhere", "No such file or directory"),
        ("SSLKEYLOGFILE", "nowhere/keys", "No such file or directory"),
    ],
)
async def test_certificates_that_cannot_be_used_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, opener: Opener, tmp_path: Path, *, variable: str, name: str, problem: str
) -> None:
    (tmp_path / "empty").touch()
    monkeypatch.setenv(variable, f"{tmp_path}/{name}")
    failure = await connect_and_fail(opener, f"https://{unused_address()}")
    assert (failure.reason, failure.permanent) == (FailureReason.TLS, True)
    assert str(failure).startswith(f"{variable}={tmp_path}/{name} cannot be used ({problem}")
