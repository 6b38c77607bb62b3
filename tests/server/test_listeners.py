"""The listening sockets: one for each address of HOST, on one port, and sentences for what cannot be."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from dashboard_rt.errors import BadSetting
from dashboard_rt.server import listeners
from dashboard_rt.server.listeners import Address
from tests import needs

IPV4: Address = (socket.AF_INET, ("127.0.0.1", 0))
IPV6: Address = (socket.AF_INET6, ("::1", 0, 0, 0))


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        opened = listeners.listen(host, port)
        for listener in opened:
            stack.enter_context(closing(listener))
        yield opened


def addresses(opened: list[socket.socket]) -> list[str]:
    return [listener.getsockname()[0] for listener in opened]


def port_of(opened: list[socket.socket]) -> int:
    """The port of all of them."""
    (port,) = {listener.getsockname()[1] for listener in opened}
    assert isinstance(port, int)
    return port


def test_a_free_port() -> None:
    with listening("127.0.0.1") as opened:
        port = port_of(opened)
        assert listeners.url(opened[0]) == f"http://127.0.0.1:{port}/"
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_accepted_sockets_have_small_buffers() -> None:
    with listening("127.0.0.1") as (listener,):
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname(), timeout=5):
            accepted, _ = listener.accept()
            with accepted:
                size = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
                # Linux doubles what it is given, for its own bookkeeping
                assert size <= 2 * listeners.SEND_BUFFER


def test_accepted_sockets_inherit_the_user_timeout() -> None:
    with listening("127.0.0.1") as (listener,):
        assert listeners.set_user_timeout(listener, 13_000)
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname(), timeout=5):
            accepted, _ = listener.accept()
            with accepted:
                assert not listeners.set_user_timeout(accepted, 1000), "it has one"
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 13_000


def test_a_system_without_user_timeouts_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "USER_TIMEOUT", None)
    with listening("127.0.0.1") as (listener,):
        assert not listeners.set_user_timeout(listener, 13_000)


def test_every_address_is_opened_as_this_machine() -> None:
    with listening("0.0.0.0") as (listener,):
        assert listeners.url(listener).startswith("http://127.0.0.1:")


def test_both_families() -> None:
    needs.ipv6()
    with listening("::") as opened:
        port = port_of(opened)
        assert listeners.url(opened[0]) == f"http://[::1]:{port}/"
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


@pytest.mark.parametrize("host", ["localhost", "LocalHost"])
def test_localhost_is_both_loopback_addresses_on_one_port(host: str) -> None:
    needs.ipv6()
    with listening(host) as opened:
        assert addresses(opened) == ["127.0.0.1", "::1"]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port_of(opened)), timeout=5):
                pass


def test_a_name_is_every_address_that_it_has_once(monkeypatch: pytest.MonkeyPatch) -> None:
    needs.ipv6()
    resolved_to(monkeypatch, IPV6, IPV4, IPV6)
    with listening("dashboard.example") as opened:
        assert addresses(opened) == ["::1", "127.0.0.1"] and port_of(opened)


def resolved_to(monkeypatch: pytest.MonkeyPatch, *found: Address) -> None:
    entries = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in found]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: entries)


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, when: Callable[[tuple[Any, ...]], bool]) -> None:
    """Have the system refuse to listen on some addresses."""
    real = listeners._listener

    def listener(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
        if when(address):
            raise OSError(number, "refused by the test")
        return real(family, address)

    monkeypatch.setattr(listeners, "_listener", listener)


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
@pytest.mark.parametrize("found", [(IPV4, IPV6), (IPV6, IPV4)])
def test_a_machine_without_ipv6_listens_on_the_rest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int, found: tuple[Address, ...]
) -> None:
    resolved_to(monkeypatch, *found)
    refuse(monkeypatch, number, lambda address: address[0] == "::1")
    with caplog.at_level(logging.INFO), listening("dashboard.example") as opened:
        assert addresses(opened) == ["127.0.0.1"]
    assert "Not listening on ::1" in caplog.text


def test_a_machine_without_ipv6_cannot_listen_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EAFNOSUPPORT, lambda address: True)
    with pytest.raises(BadSetting, match="HOST ::1 needs IPv6"):
        listeners.listen("::1", 0)


def test_a_port_that_is_free_on_one_address_only_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    needs.ipv6()
    seen: list[int] = []

    def taken(address: tuple[Any, ...]) -> bool:
        if address[0] == "::1":
            seen.append(address[1])
        return address[0] == "::1" and len(seen) < 3

    refuse(monkeypatch, errno.EADDRINUSE, taken)
    with listening("localhost") as opened:
        assert port_of(opened) == seen[-1]
    assert len(seen) == 3


def test_a_busy_port_is_explained() -> None:
    with listening("127.0.0.1") as opened:
        port = port_of(opened)
        with pytest.raises(BadSetting, match=rf"Port {port} on 127.0.0.1 is in use: .* PORT={port + 1}"):
            listeners.listen("127.0.0.1", port)


def test_a_port_that_is_busy_on_one_address_is_not_shared_with_a_stranger() -> None:
    needs.ipv6()
    with listening("::1") as opened:
        port = port_of(opened)
        with pytest.raises(BadSetting, match=f"Port {port} on localhost is in use"):
            listeners.listen("localhost", port)
        with socket.socket() as again:
            again.bind(("127.0.0.1", port))  # what was opened before the refusal is closed


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EADDRNOTAVAIL, "HOST 192.0.2.1 is no address of this machine"),
        (errno.EACCES, "Port 80 is for the system alone"),
        (errno.EMFILE, "Cannot listen on 192.0.2.1 port 80"),
    ],
)
def test_other_refusals_are_explained(number: int, sentence: str) -> None:
    assert str(listeners.explain(OSError(number, "x"), "192.0.2.1", 80)).startswith(sentence)


def test_the_port_that_is_proposed_exists() -> None:
    busy = listeners.explain(OSError(errno.EADDRINUSE, "x"), "127.0.0.1", 65535)
    assert "PORT=65534" in str(busy)


def test_an_unknown_host_is_explained() -> None:
    error = socket.gaierror(socket.EAI_NONAME, "x")
    assert "HOST nowhere cannot be resolved" in str(listeners.explain(error, "nowhere", 80))


@pytest.mark.parametrize("host", [".", "a..example", "a" * 64 + ".example"])
def test_what_no_name_can_be_is_explained(host: str) -> None:
    with pytest.raises(BadSetting, match=r"^HOST .* cannot be resolved"):
        listeners.listen(host, 0)
