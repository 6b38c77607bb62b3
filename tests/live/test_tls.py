"""TLS under uvicorn's own command line (`--ssl-*`), with the handover and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.cable import V1, CableClient, command, frame, identifier
from tests.live.conftest import SHARED
from tests.live.followers import TRANSPORTS, follow
from tests.live.server import Server
from tests.live.test_other_servers import FORMS, OURS, publish
from tests.live.wire import until
from tests.services.certificates import Certificate, self_signed


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["uvicorn-handover", pytest.param("uvicorn-plain", marks=pytest.mark.slow)])
def tls(request: pytest.FixtureRequest, certificate: Certificate, tmp_path: Path) -> Iterator[Server]:
    """uvicorn with TLS, with our protocol classes or its own."""
    key, cert = (str(path) for path in certificate)
    options = [*FORMS[request.param], "--ssl-keyfile", key, "--ssl-certfile", cert]
    with Server(tmp_path, SHARED, options, tls=True) as server:
        yield server


def test_clients_over_tls(tls: Server) -> None:
    """Live, lagging and resumed on every transport, and frames that come with the upgrade request."""
    early = frame(1, command("subscribe", identifier("log0")))
    if not set(OURS) <= set(tls.command):
        early = b""  # uvicorn's own class loses them
    with CableClient(tls.address, (V1,), early=early) as cable:
        cable.welcome()
        if not early:
            cable.send(command("subscribe", identifier("log0")))
        assert cable.message()["type"] == "confirm_subscription"
        cable.fence()
    first = 0
    for transport in TRANSPORTS:
        with follow(transport, tls.address, "log0") as client, follow(transport, tls.address, "log0") as slow:
            publish(tls, "log0", first, 3)
            assert client.numbers(3) == list(range(first, first + 3))
            client.beat()
            publish(tls, "log0", first + 3, 40, pad="x" * 60_000)
            assert client.numbers(40) == list(range(first + 3, first + 43))
            assert slow.numbers(43) == list(range(first, first + 43))
        publish(tls, "log0", first + 43, 2)
        with follow(transport, tls.address, "log0", client.cursor) as again:
            assert again.verdict == "recovered"
            assert again.numbers(2) == [first + 43, first + 44]
        first += 45
    until(lambda: tls.connections("sse") + tls.connections("cable") == 0, "all are gone")


# With uvicorn's own classes a connection over TLS may outlive the goodbye: uvicorn waits for it before the app hears.
with_our_classes = pytest.mark.parametrize("tls", ["uvicorn-handover"], indirect=True)


@pytest.mark.slow
@with_our_classes
def test_goodbye_over_tls(tls: Server) -> None:
    clients = [follow(transport, tls.address, "log0") for transport in TRANSPORTS]
    publish(tls, "log0", 0, 1)
    tls.end()
    for client in clients:
        assert client.numbers(1) == [0]
        assert client.goodbye().reason == "server_restart"
        client.drop()
    assert tls.wait() in (0, -15), "uvicorn raises the signal again"


@pytest.mark.slow
@with_our_classes
def test_a_client_that_never_hangs_up_does_not_delay_the_exit(tls: Server) -> None:
    """TLS waits for the other side's close_notify, by default half a minute, which is longer than platforms wait."""
    clients = [follow(transport, tls.address, "log0") for transport in TRANSPORTS]
    tls.end()
    for client in clients:
        client.goodbye()
    assert tls.wait() in (0, -15)
