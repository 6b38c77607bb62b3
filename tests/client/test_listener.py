"""A client that follows a stream: where it resumes, how long it waits, and when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from dashboard_rt.client import listener
from dashboard_rt.client.connection import Event, EventKind, OpenConnection, TransportName
from dashboard_rt.client.failures import ConnectionFailed, FailureReason
from dashboard_rt.client.listener import BACKOFF_CAP_SECONDS, ClientOptions, backoff, run_listeners
from dashboard_rt.client.report import Printer, RunStats
from dashboard_rt.client.target import read_target
from dashboard_rt.types import Position
from tests.client.connecting import raw_server, unused_address
from tests.fakes import Behaviour, Fake, serving
from tests.patience import HANG_LIMIT

pytestmark = pytest.mark.anyio
BOTH_TRANSPORTS = pytest.mark.parametrize("transport", list(TransportName))


class RecordingPrinter(Printer):
    """Records what it would print, and sets `enough` when the condition that it was given holds."""

    def __init__(self, is_enough: Callable[[RecordingPrinter], bool] = lambda _: False) -> None:
        super().__init__(clients=1, debug=False)
        self.connections: list[OpenConnection] = []
        self.updates: list[Position | None] = []
        self.faults: list[str] = []
        self.failures: list[ConnectionFailed] = []
        self.waits: list[float] = []
        self.enough, self.waited = asyncio.Event(), asyncio.Event()
        self._is_enough = is_enough

    def connected(self, client: int, connection: OpenConnection) -> None:
        self.connections.append(connection)

    def received(self, client: int, event: Event, fault: str | None) -> None:
        if fault is not None:
            self.faults.append(fault)
        if event.kind is EventKind.UPDATE:
            self.updates.append(event.position)
        if self._is_enough(self):
            self.enough.set()

    def failed(self, client: int, failure: ConnectionFailed) -> None:
        self.failures.append(failure)

    def waiting(self, client: int, seconds: float, position: Position | None) -> None:
        self.waits.append(seconds)
        self.waited.set()


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect within hundredths of a second."""
    monkeypatch.setattr(listener, "BACKOFF_BASE_SECONDS", 0.01)


async def follow(options: ClientOptions, printer: RecordingPrinter, clients: int = 1) -> RunStats:
    """Run the clients until the printer has recorded enough, or all of them have ended."""
    stats = RunStats()
    task = asyncio.ensure_future(run_listeners(clients, options, stats, printer))
    enough = asyncio.ensure_future(printer.enough.wait())
    async with asyncio.timeout(HANG_LIMIT):
        await asyncio.wait([task, enough], return_when=asyncio.FIRST_COMPLETED)
    for each in (task, enough):
        each.cancel()
    for result in await asyncio.gather(task, enough, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
    return stats


def options_for(fake: Fake, transport: TransportName, reconnect: bool = True) -> ClientOptions:
    return ClientOptions(transport, read_target(fake.url), 5.0, reconnect)


@BOTH_TRANSPORTS
@pytest.mark.parametrize("goodbye", [None, "server_restart"])
async def test_it_resumes_without_loss(transport: TransportName, goodbye: str | None) -> None:
    printer = RecordingPrinter(lambda seen: len(seen.updates) >= 12)
    with serving(Behaviour(cut_after=3, goodbye=goodbye)) as fake:
        stats = await follow(options_for(fake, transport), printer)
    ids = [position.id for position in printer.updates if position is not None]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert fake.resumed[:3] == [None, f"k3f9-{ids[2]}", f"k3f9-{ids[5]}"]
    assert (stats.lost, stats.doubled, printer.faults) == (0, 0, [])
    assert stats.verdicts["fresh"] == 1
    assert stats.verdicts["recovered"] == stats.reconnects >= 3
    assert stats.connected == 0


@BOTH_TRANSPORTS
async def test_it_waits_as_long_as_the_server_asked_for(transport: TransportName) -> None:
    printer = RecordingPrinter(lambda seen: len(seen.connections) > 1)
    with serving(Behaviour(cut_after=1, goodbye="full", retry_ms=150)) as fake:
        await follow(options_for(fake, transport), printer)
    assert printer.waits[0] == 0.15


@BOTH_TRANSPORTS
async def test_a_client_that_cannot_reconnect_is_away(transport: TransportName) -> None:
    printer, stats = RecordingPrinter(lambda seen: len(seen.updates) >= 3), RunStats()
    async with asyncio.timeout(HANG_LIMIT):
        with serving() as fake:
            options = options_for(fake, transport)
            task = asyncio.ensure_future(run_listeners(1, options, stats, printer))
            await printer.enough.wait()
        await printer.waited.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (stats.reached, stats.connected, stats.away) == (1, 0, 1)


@BOTH_TRANSPORTS
async def test_lost_and_doubled_updates_are_counted(transport: TransportName) -> None:
    printer = RecordingPrinter(lambda seen: len(seen.faults) >= 4)
    with serving(Behaviour(drop=5, double=7)) as fake:
        stats = await follow(options_for(fake, transport), printer)
    assert stats.lost >= 1
    assert stats.doubled >= 1


async def test_without_the_extended_protocol_updates_are_unchecked() -> None:
    printer = RecordingPrinter(lambda seen: len(seen.updates) >= 3)
    with serving(Behaviour(subprotocol="actioncable-v1-json", drop=2)) as fake:
        stats = await follow(options_for(fake, TransportName.CABLE), printer)
    assert (stats.unchecked, stats.lost) == (stats.updates, 0)


@BOTH_TRANSPORTS
async def test_it_gives_up_when_the_first_attempts_fail(transport: TransportName) -> None:
    printer = RecordingPrinter()
    options = ClientOptions(transport, read_target(f"http://{unused_address()}"), 5.0)
    stats = await follow(options, printer)
    assert [failure.reason for failure in printer.failures] == [FailureReason.UNREACHABLE] * 3
    assert (stats.gave_up, stats.reached) == (1, 0)


@BOTH_TRANSPORTS
async def test_a_permanent_failure_is_not_retried(transport: TransportName) -> None:
    printer = RecordingPrinter()
    with serving(Behaviour(status=404)) as fake:
        stats = await follow(options_for(fake, transport), printer)
    assert len(printer.failures) == stats.gave_up == 1


VERDICT = b'event: verdict\nid: k3f9-7\ndata: {"verdict":"recovered","position":"k3f9-7"}\n\n'
CUT_BEHIND_THE_VERDICT = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n" + VERDICT
)


@BOTH_TRANSPORTS
async def test_what_breaks_every_connection_alike_ends_the_client(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_STUCK", 4)
    printer = RecordingPrinter()
    async with raw_server(CUT_BEHIND_THE_VERDICT) as url:
        with serving(Behaviour(cut_after=0)) as fake:
            target = read_target(url if transport is TransportName.SSE else fake.url)
            stats = await follow(ClientOptions(transport, target, 5.0), printer)
    assert (stats.gave_up, stats.reached, stats.reconnects) == (1, 1, 3)
    assert stats.failures == {FailureReason.DROPPED: 4}
    assert "4 connections in a row broke at k3f9-" in str(printer.failures[-1])


async def test_a_connection_that_brings_an_update_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_STUCK", 2)
    printer = RecordingPrinter(lambda seen: len(seen.updates) >= 6)
    with serving(Behaviour(cut_after=1)) as fake:
        stats = await follow(options_for(fake, TransportName.CABLE), printer)
    assert (stats.gave_up, len(printer.updates)) == (0, 6)


async def test_a_goodbye_without_reconnect_ends_the_client() -> None:
    printer = RecordingPrinter()
    behaviour = Behaviour(cut_after=2, goodbye="token_expired", reconnect=False)
    with serving(behaviour) as fake:
        stats = await follow(options_for(fake, TransportName.CABLE), printer)
    assert (stats.gave_up, stats.goodbyes, printer.waits) == (1, {"token_expired": 1}, [])


@BOTH_TRANSPORTS
async def test_without_reconnect_the_client_ends_with_its_connection(transport: TransportName) -> None:
    printer = RecordingPrinter()
    with serving(Behaviour(cut_after=2, goodbye="server_restart")) as fake:
        stats = await follow(options_for(fake, transport, reconnect=False), printer)
    assert (stats.gave_up, stats.reached, stats.reconnects) == (0, 1, 0)


@BOTH_TRANSPORTS
async def test_many_clients_receive_the_same(transport: TransportName) -> None:
    printer = RecordingPrinter(lambda seen: len(seen.updates) >= 300)
    with serving(Behaviour(period=0.05)) as fake:
        stats = await follow(options_for(fake, transport), printer, clients=60)
    assert stats.reached == len(stats.timings) == stats.verdicts["fresh"] == 60
    assert (stats.lost, stats.doubled, stats.failures) == (0, 0, {})


def test_backoff_is_full_jitter_up_to_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "BACKOFF_BASE_SECONDS", 1.0)
    random = Random(1)
    cap = BACKOFF_CAP_SECONDS
    for failures, ceiling in ((0, 1), (1, 2), (3, 8), (5, cap), (5000, cap)):
        waits = [backoff(failures, None, random) for _ in range(200)]
        assert 0 <= min(waits) < ceiling * 0.1
        assert ceiling * 0.9 < max(waits) <= ceiling


def test_backoff_is_never_shorter_than_the_server_asked_for() -> None:
    random = Random(1)
    assert backoff(0, 2.31, random) == 2.31
    assert backoff(0, 3600.0, random) == 3600.0
