"""TLS under uvicorn's own command line (`--ssl-*`), with the handover and without: the same behaviours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.live.cable import V1, CableClient, command, frame, identifier
from tests.live.conftest import STREAMS, Servers
from tests.live.followers import follow
from tests.live.server import Server
from tests.live.test_other_servers import FORMS, publish
from tests.live.wire import until


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate that nobody but this test trusts."""
    openssl = needs.openssl()
    directory = tmp_path_factory.mktemp("tls")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command_line = [openssl, "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command_line, check=True, capture_output=True)
    return key, certificate


@pytest.fixture(params=["uvicorn-handover", "uvicorn-plain"])
def tls(
    request: pytest.FixtureRequest, all_servers: Servers, certificate: tuple[Path, Path], tmp_path: Path
) -> Iterator[Server]:
    """uvicorn with TLS, with our protocol classes or its own."""
    key, cert = (str(path) for path in certificate)
    options = [*FORMS[request.param], "--ssl-keyfile", key, "--ssl-certfile", cert]
    server = Server(
        tmp_path, {"STREAMS": STREAMS, "CABLE_PING": "1", "SSE_HEARTBEAT": "1"}, options, tls=True
    )
    with server:
        yield server


def test_behaviours_over_tls(tls: Server, transport: str) -> None:
    with follow(transport, tls.address, "log0") as client, follow(transport, tls.address, "log0") as slow:
        publish(tls, "log0", 0, 3)
        assert client.numbers(3) == [0, 1, 2]
        client.beat()
        publish(tls, "log0", 3, 40, pad="x" * 60_000)
        assert client.numbers(40) == list(range(3, 43))
        assert slow.numbers(43) == list(range(43))
    publish(tls, "log0", 43, 2)
    with follow(transport, tls.address, "log0", client.cursor) as again:
        assert again.verdict == "recovered"
        assert again.numbers(2) == [43, 44]
        again.drop()
    until(lambda: tls.connections(transport) == 0, "all are gone")


def test_frames_behind_the_upgrade_over_tls(tls: Server) -> None:
    early = frame(1, command("subscribe", identifier("log0")))
    if "dashboard_rt.handover:WebSocketProtocol" not in tls.command:
        early = b""  # uvicorn's own class loses them
    with CableClient(tls.address, (V1,), early=early) as client:
        client.welcome()
        if not early:
            client.send(command("subscribe", identifier("log0")))
        assert client.message()["type"] == "confirm_subscription"
        client.fence()


# With uvicorn's own classes a connection over TLS may outlive the goodbye: uvicorn waits for it before the app hears.
with_our_classes = pytest.mark.parametrize("tls", ["uvicorn-handover"], indirect=True)


@with_our_classes
def test_goodbye_over_tls(tls: Server, transport: str) -> None:
    with follow(transport, tls.address, "log0") as client:
        publish(tls, "log0", 0, 1)
        tls.end()
        assert client.numbers(1) == [0]
        assert client.goodbye().reason == "server_restart"
    assert tls.wait() in (0, -15), "uvicorn raises the signal again"


@with_our_classes
def test_a_client_that_never_hangs_up_does_not_hold_the_exit(tls: Server, transport: str) -> None:
    """TLS waits for the other side's close_notify, by default half a minute: longer than a platform's patience."""
    with follow(transport, tls.address, "log0") as client:
        tls.end()
        client.goodbye()
        assert tls.wait(10) in (0, -15)
