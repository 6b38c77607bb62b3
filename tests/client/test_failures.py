"""How connections of both transports fail: the reason, whether it is permanent, and the sentence."""

from __future__ import annotations

import pytest

from dashboard_rt.client.connection import ConnectOptions
from dashboard_rt.client.failures import FailureReason
from tests.client.connecting import BOTH_TRANSPORTS, Opener, connect_and_fail, unused_address
from tests.fakes import Behaviour, serving

pytestmark = [pytest.mark.anyio, BOTH_TRANSPORTS]


async def test_no_server(opener: Opener) -> None:
    failure = await connect_and_fail(opener, f"http://{unused_address()}")
    assert (failure.reason, failure.permanent) == (FailureReason.UNREACHABLE, False)
    assert "connection refused" in str(failure)
    assert "dashboard-rt serve" in str(failure)


async def test_a_host_without_an_address(opener: Opener) -> None:
    failure = await connect_and_fail(opener, "http://no-such-host.invalid:1")
    assert failure.reason is FailureReason.NO_ADDRESS


async def test_tls_to_a_port_without_tls(opener: Opener) -> None:
    with serving() as fake:
        failure = await connect_and_fail(opener, fake.url.replace("http", "https"))
    assert (failure.reason, failure.permanent) == (FailureReason.TLS, True)
    assert "use http://" in str(failure)


@pytest.mark.parametrize(("status", "permanent"), [(401, True), (404, True), (429, False), (502, False)])
async def test_a_status_says_what_to_do(opener: Opener, status: int, permanent: bool) -> None:
    with serving(Behaviour(status=status)) as fake:
        failure = await connect_and_fail(opener, fake.url)
    assert (failure.reason, failure.permanent) == (FailureReason.STATUS, permanent)
    assert failure.head is not None
    assert failure.head.status == status
    assert f"answered {status}" in str(failure)


async def test_a_redirect_is_reported_and_not_followed(opener: Opener) -> None:
    with serving(Behaviour(status=301)) as fake:
        failure = await connect_and_fail(opener, fake.url)
    assert "it has moved" in str(failure)


async def test_silence_is_a_failure(opener: Opener) -> None:
    with serving(Behaviour(mute=True)) as fake:
        failure = await connect_and_fail(opener, fake.url, ConnectOptions(timeout=0.3))
    assert (failure.reason, failure.permanent) == (FailureReason.SILENT, False)
    assert "0.3 s" in str(failure)
