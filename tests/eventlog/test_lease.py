"""eventlog/lease: one holder at a time, a takeover from one that is silent, and nothing written without the lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from dashboard_rt.errors import LeaseLost, LogUnavailable
from dashboard_rt.eventlog.database import Rows, Values
from dashboard_rt.eventlog.lease import LEASE_SECONDS, READ, Before, Lease, Term
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.types import Append, Fence
from tests.logkit import everything, opened, texts

pytestmark = pytest.mark.anyio


class Clock:
    """The monotonic clock of one machine, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Candidate(NamedTuple):
    """One process: connections and a clock of its own."""

    log: EventLog
    lease: Lease
    clock: Clock

    async def take(self) -> Term:
        term = await self.lease.try_to_take()
        assert term is not None
        return term

    async def append(self, fence: Fence, *numbers: int) -> None:
        await self.log.append([Append("a", texts(*numbers), fence=fence)])


@pytest.fixture
async def candidate(database_url: str) -> AsyncIterator[Candidate]:
    clock = Clock()
    async with opened(database_url) as (db, log):
        yield Candidate(log, Lease(db, "work", clock), clock)


@pytest.fixture
async def rival(database_url: str) -> AsyncIterator[Candidate]:
    clock = Clock()
    async with opened(database_url) as (db, log):
        yield Candidate(log, Lease(db, "work", clock), clock)


async def silent_for(waiting: Candidate, seconds: float) -> Term | None:
    """What the one who waits gets when the holder says nothing between two looks, so many seconds apart."""
    assert await waiting.lease.try_to_take() is None
    waiting.clock.seconds += seconds
    return await waiting.lease.try_to_take()


async def test_one_of_two_gets_it(candidate: Candidate, rival: Candidate) -> None:
    assert (await candidate.take()).before is Before.NEW
    assert await silent_for(rival, LEASE_SECONDS - 0.01) is None


async def test_a_holder_that_renews_keeps_it(candidate: Candidate, rival: Candidate) -> None:
    term = await candidate.take()
    for _ in range(3):
        assert await silent_for(rival, LEASE_SECONDS - 0.01) is None
        await candidate.lease.renew(term.fence)
        rival.clock.seconds += 1


async def test_an_append_renews_it(candidate: Candidate, rival: Candidate) -> None:
    term = await candidate.take()
    assert await rival.lease.try_to_take() is None
    await candidate.append(term.fence, 1)
    rival.clock.seconds += LEASE_SECONDS
    assert await rival.lease.try_to_take() is None


async def test_a_silent_holder_loses_it_and_writes_nothing_more(
    candidate: Candidate, rival: Candidate
) -> None:
    stale = (await candidate.take()).fence
    await candidate.append(stale, 1)
    term = await silent_for(rival, LEASE_SECONDS)
    assert term is not None and term.before is Before.SILENT
    await rival.append(term.fence, 2)
    with pytest.raises(LeaseLost):
        await candidate.append(stale, 3)
    with pytest.raises(LeaseLost):
        await candidate.lease.renew(stale)
    await candidate.lease.release(stale)  # which must not take it from the one who has it now
    await rival.append(term.fence, 4)
    assert [update.text for update in await everything(rival.log, "a")] == list(texts(1, 2, 4))


async def test_a_lost_lease_undoes_the_whole_group(candidate: Candidate) -> None:
    stale = Fence("work", "somebody else")
    await candidate.take()
    with pytest.raises(LeaseLost):
        await candidate.log.append([Append("b", texts(1)), Append("a", texts(2), fence=stale)])
    assert (await candidate.log.state()).streams["b"].last_id == 0


async def test_a_lease_that_is_given_up_is_free_at_once(candidate: Candidate, rival: Candidate) -> None:
    term = await candidate.take()
    assert await rival.lease.try_to_take() is None
    await candidate.lease.release(term.fence)
    assert (await rival.take()).before is Before.RELEASED


async def test_a_second_term_does_not_open_what_the_first_left(
    candidate: Candidate, rival: Candidate
) -> None:
    first = (await candidate.take()).fence
    await candidate.lease.release(first)
    await rival.lease.release((await rival.take()).fence)
    await candidate.take()
    with pytest.raises(LeaseLost):
        await candidate.append(first, 1)


async def test_of_two_that_find_it_silent_at_once_one_gets_it(candidate: Candidate, rival: Candidate) -> None:
    await candidate.take()
    ((_, renewals),) = await rival.lease._db.rows(READ, {"name": "work"})
    terms = [await each.lease._take(renewals, Before.SILENT) for each in (candidate, rival)]
    assert [term is not None for term in terms] == [True, False]


async def test_the_time_in_which_the_database_was_away_does_not_count(
    candidate: Candidate, rival: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await candidate.take()
    assert await rival.lease.try_to_take() is None
    rival.clock.seconds += LEASE_SECONDS

    async def fail(sql: str, values: Values | None = None) -> Rows:
        raise LogUnavailable("The database is away.")

    with monkeypatch.context() as patch:
        patch.setattr(rival.lease._db, "rows", fail)
        with pytest.raises(LogUnavailable):
            await rival.lease.try_to_take()
    assert await rival.lease.try_to_take() is None
    rival.clock.seconds += LEASE_SECONDS
    assert await rival.lease.try_to_take() is not None


async def test_a_slow_look_does_not_count(
    candidate: Candidate, rival: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder may have renewed after a row was read, before the answer came."""
    await candidate.take()
    rows = rival.lease._db.rows

    async def slow(sql: str, values: Values | None = None) -> Rows:
        found = await rows(sql, values)
        rival.clock.seconds += LEASE_SECONDS
        return found

    monkeypatch.setattr(rival.lease._db, "rows", slow)
    assert await rival.lease.try_to_take() is None
    assert await rival.lease.try_to_take() is None
