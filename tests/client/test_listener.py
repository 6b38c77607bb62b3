"""One client that keeps following: where it comes back, when, and when it gives up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from random import Random

import pytest

from dashboard_rt.client import listener
from dashboard_rt.client.failures import Failed, Why
from dashboard_rt.client.listener import CAP_SECONDS, Plan, backoff, listen_all
from dashboard_rt.client.nouns import Heard, Link
from dashboard_rt.client.tally import Tally
from dashboard_rt.client.target import read_target
from dashboard_rt.types import Position, Transport
from tests.fakes import Behaviour, Fake, serving

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("transport", list(Transport))


class Watcher:
    """A Reporter that remembers, and knows when it has seen enough."""

    def __init__(self, enough: Callable[[Watcher], bool] = lambda _: False) -> None:
        self.links: list[Link] = []
        self.updates: list[Position | None] = []
        self.faults: list[str] = []
        self.failures: list[Failed] = []
        self.waits: list[float] = []
        self.enough, self.waited = asyncio.Event(), asyncio.Event()
        self._enough = enough

    def connected(self, client: int, link: Link) -> None:
        self.links.append(link)

    def heard(self, client: int, heard: Heard, fault: str | None) -> None:
        if fault is not None:
            self.faults.append(fault)
        if heard.what == "update":
            self.updates.append(heard.position)
        if self._enough(self):
            self.enough.set()

    def failed(self, client: int, failed: Failed) -> None:
        self.failures.append(failed)

    def waiting(self, client: int, seconds: float, position: Position | None) -> None:
        self.waits.append(seconds)
        self.waited.set()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back within hundredths of a second."""
    monkeypatch.setattr(listener, "BASE_SECONDS", 0.01)


async def follow(plan: Plan, watcher: Watcher, clients: int = 1) -> Tally:
    """Run until the watcher has seen enough, or all is over."""
    tally = Tally()
    task = asyncio.ensure_future(listen_all(clients, plan, tally, watcher))
    enough = asyncio.ensure_future(watcher.enough.wait())
    async with asyncio.timeout(10):
        await asyncio.wait([task, enough], return_when=asyncio.FIRST_COMPLETED)
    for each in (task, enough):
        each.cancel()
    for result in await asyncio.gather(task, enough, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
    return tally


def plan(fake: Fake, transport: Transport, reconnect: bool = True) -> Plan:
    return Plan(transport, read_target(fake.url), 5.0, reconnect)


@BOTH
@pytest.mark.parametrize("goodbye", [None, "server_restart"])
async def test_it_resumes_without_loss(transport: Transport, goodbye: str | None) -> None:
    watcher = Watcher(lambda seen: len(seen.updates) >= 12)
    with serving(Behaviour(cut_after=3, goodbye=goodbye)) as fake:
        tally = await follow(plan(fake, transport), watcher)
    ids = [position.id for position in watcher.updates if position is not None]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert fake.resumed[:3] == [None, f"k3f9-{ids[2]}", f"k3f9-{ids[5]}"]
    assert (tally.lost, tally.doubled, watcher.faults) == (0, 0, [])
    assert tally.verdicts["fresh"] == 1
    assert tally.verdicts["recovered"] == tally.reconnects >= 3
    assert tally.connected == 0


@BOTH
async def test_it_stays_away_as_long_as_it_was_told(transport: Transport) -> None:
    watcher = Watcher(lambda seen: len(seen.links) > 1)
    with serving(Behaviour(cut_after=1, goodbye="full", retry_ms=150)) as fake:
        await follow(plan(fake, transport), watcher)
    assert watcher.waits[0] == 0.15


@BOTH
async def test_who_cannot_come_back_is_away(transport: Transport) -> None:
    watcher, tally = Watcher(lambda seen: len(seen.updates) >= 3), Tally()
    async with asyncio.timeout(5):
        with serving() as fake:
            task = asyncio.ensure_future(listen_all(1, plan(fake, transport), tally, watcher))
            await watcher.enough.wait()
        await watcher.waited.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (tally.reached, tally.connected, tally.away) == (1, 0, 1)


@BOTH
async def test_faults_of_the_server_are_found(transport: Transport) -> None:
    watcher = Watcher(lambda seen: len(seen.faults) >= 4)
    with serving(Behaviour(drop=5, double=7)) as fake:
        tally = await follow(plan(fake, transport), watcher)
    assert tally.lost >= 1
    assert tally.doubled >= 1


async def test_without_the_extended_protocol_nothing_is_checked() -> None:
    watcher = Watcher(lambda seen: len(seen.updates) >= 3)
    with serving(Behaviour(subprotocol="actioncable-v1-json", drop=2)) as fake:
        tally = await follow(plan(fake, Transport.CABLE), watcher)
    assert (tally.unchecked, tally.lost) == (tally.updates, 0)


@BOTH
async def test_it_gives_up_where_it_never_got_through(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    watcher = Watcher()
    tally = await follow(Plan(transport, read_target(url), 5.0), watcher)
    assert [failed.why for failed in watcher.failures] == [Why.UNREACHABLE] * 3
    assert (tally.gave_up, tally.reached) == (1, 0)


@BOTH
async def test_a_final_refusal_is_not_tried_again(transport: Transport) -> None:
    watcher = Watcher()
    with serving(Behaviour(status=404)) as fake:
        tally = await follow(plan(fake, transport), watcher)
    assert len(watcher.failures) == tally.gave_up == 1


async def test_reconnect_false_ends_it() -> None:
    watcher = Watcher()
    behaviour = Behaviour(cut_after=2, goodbye="token_expired", reconnect=False)
    with serving(behaviour) as fake:
        tally = await follow(plan(fake, Transport.CABLE), watcher)
    assert (tally.gave_up, tally.goodbyes, watcher.waits) == (1, {"token_expired": 1}, [])


@BOTH
async def test_no_reconnect_ends_with_the_connection(transport: Transport) -> None:
    watcher = Watcher()
    with serving(Behaviour(cut_after=2, goodbye="server_restart")) as fake:
        tally = await follow(plan(fake, transport, reconnect=False), watcher)
    assert (tally.gave_up, tally.reached, tally.reconnects) == (0, 1, 0)


@BOTH
async def test_many_clients_see_the_same(transport: Transport) -> None:
    watcher = Watcher(lambda seen: len(seen.updates) >= 300)
    with serving(Behaviour(period=0.05)) as fake:
        tally = await follow(plan(fake, transport), watcher, clients=60)
    assert tally.reached == len(tally.timings) == tally.verdicts["fresh"] == 60
    assert (tally.lost, tally.doubled, tally.failures) == (0, 0, {})


def test_backoff_is_full_jitter_up_to_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "BASE_SECONDS", 1.0)
    random = Random(1)
    for failures, ceiling in ((0, 1), (1, 2), (3, 8), (5, CAP_SECONDS), (5000, CAP_SECONDS)):
        waits = [backoff(failures, None, random) for _ in range(200)]
        assert 0 <= min(waits) < ceiling * 0.1
        assert ceiling * 0.9 < max(waits) <= ceiling


def test_backoff_is_never_shorter_than_what_the_server_asked_for() -> None:
    random = Random(1)
    assert backoff(0, 2.31, random) == 2.31
    assert backoff(0, 3600.0, random) == 3600.0
