"""bench/load/keeper.py: clients that the server sends away come back as they were told, and all of it is counted."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bench.load.connection import Connection, SseConnection
from bench.load.keeper import Keeper, Terms
from bench.load.signals import Goodbye
from bench.load.subscriber import Subscriber
from bench.load.tally import Tally
from bench.load.wire import Wire
from tests.bench.load.peer import Talk, talking, until

pytestmark = pytest.mark.anyio
OPEN = {"do": "open", "count": 3, "in_flight": 3, "timeout": 5}


def keep(**more: Any) -> dict[str, Any]:
    return {"do": "keep", "told": True, "min_ms": 5, "max_ms": 10, **more}


async def kept(load: Any, last: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = (await load.obey({"do": "finish", "last": last, "timeout": 2}))["kept"]
    return found


def goodbye(talk: Talk, retry_ms: int = 10) -> None:
    talk.send(
        b'retry: %d\nevent: goodbye\ndata: {"reason":"server_restart","retry_ms":%d}\n\n'
        % (retry_ms, retry_ms)
    )


async def test_a_goodbye_is_followed_by_a_return_from_where_they_were() -> None:
    async def script(talk: Talk) -> None:
        talk.verdict("fresh" if talk.number < 3 else "recovered", talk.number // 3)
        talk.event(1 + talk.number // 3)
        if talk.number < 3:
            goodbye(talk)
        else:
            await talk.gone()

    async with talking(script, "sse") as (peer, load):
        await load.obey(keep())
        await load.obey(dict(OPEN))
        await until(lambda: load.tally.updates == 6)
        found = await kept(load, 2)
        assert (found["goodbyes"], found["unannounced"], found["returns"], found["refused"]) == (3, 0, 3, 0)
        assert (found["verdicts"], found["away"]["count"]) == ({"recovered": 3}, 3)
        assert found["away"]["p50"] >= 10
        assert (len(found["goodbye_ns"]), len(found["end_ns"])) == (3, 3)
        pairs = zip(sorted(found["goodbye_ns"]), sorted(found["end_ns"]), strict=True)
        assert all(said <= ended for said, ended in pairs)
        assert {talk.headers["last-event-id"] for talk in peer.talks[3:]} == {"e-1"}
        books = await load.obey({"do": "finish", "last": 2, "timeout": 2})
        assert (books["closed"], books["account"]["lost"], books["alive"]) == (0, 0, 3)


async def test_cables_are_told_too() -> None:
    async def script(talk: Talk) -> None:
        talk.upgrade("actioncable-v1-json")
        await talk.command()
        talk.confirm(verdict="fresh", position="e-0")
        if talk.number < 3:
            talk.say({"type": "disconnect", "reason": "server_restart", "reconnect": True, "retry_in": 10})
            talk.send(b"\x88\x02\x03\xe9")
        await talk.gone()

    async with talking(script, "cable") as (_, load):
        await load.obey(keep())
        await load.obey(dict(OPEN))
        await until(lambda: load.alive == 3 and load.keeper is not None and len(load.keeper.away) == 3)
        found = await kept(load)
        assert (found["goodbyes"], found["unannounced"], found["returns"]) == (3, 0, 3)


async def test_an_end_without_a_goodbye_and_doors_that_are_shut() -> None:
    async def script(talk: Talk) -> None:
        if 3 <= talk.number < 6:
            talk.send(b"HTTP/1.1 503 Busy\r\n\r\n")
            return
        talk.verdict("fresh", 0)
        if talk.number >= 3:
            await talk.gone()

    async with talking(script, "sse") as (_, load):
        await load.obey(keep())
        await load.obey(dict(OPEN))
        await until(lambda: load.alive == 3)
        found = await kept(load)
        assert (found["goodbyes"], found["unannounced"], found["refused"], found["returns"]) == (0, 3, 3, 3)


async def test_they_try_until_somebody_listens_again() -> None:
    ends: list[Talk] = []

    async def script(talk: Talk) -> None:
        talk.verdict("fresh", 0)
        if talk.number >= 3:
            await talk.gone()
        else:
            ends.append(talk)
            await until(lambda: len(ends) == 4)

    async with talking(script, "sse") as (peer, load):
        await load.obey(keep())
        await load.obey(dict(OPEN))
        peer.refuse()
        ends.append(peer.talks[0])
        await until(lambda: load.keeper is not None and load.keeper.refused >= 6)
        await peer.listen()
        await until(lambda: load.alive == 3)
        assert (await kept(load))["returns"] == 3


async def test_who_may_not_come_back_stays_away() -> None:
    async def script(talk: Talk) -> None:
        talk.upgrade("actioncable-v1-json")
        await talk.command()
        talk.confirm()
        talk.say({"type": "disconnect", "reason": "unauthorized", "reconnect": False})

    async with talking(script, "cable") as (peer, load):
        await load.obey(keep())
        await load.obey(dict(OPEN))
        await until(lambda: load.keeper is not None and load.keeper.final == 3)
        assert (await kept(load))["returns"] == 0
        assert len(peer.talks) == 3


@pytest.mark.parametrize(
    ("terms", "goodbye", "retry", "wait"),
    [
        (Terms(True, 7, 7), Goodbye(100, True, ""), 50, 100),
        (Terms(True, 7, 7), Goodbye(None, True, ""), 50, 50),
        (Terms(True, 7, 7), None, 50, 50),
        (Terms(True, 7, 7), None, None, 7),
        (Terms(False, 7, 7), Goodbye(100, True, ""), 50, 7),
        (Terms(False, 7, 7), Goodbye(100, False, ""), 50, None),
    ],
)
async def test_how_long_they_wait(
    terms: Terms, goodbye: Goodbye | None, retry: int | None, wait: float | None
) -> None:
    async def nobody(subscriber: Subscriber, resume: bool) -> Connection:
        raise OSError

    connection = SseConnection(Wire("sse", "", 1, ""), Subscriber(0, Tally(), 1))
    connection.goodbye, connection.retry_ms = goodbye, retry
    assert Keeper(terms, nobody, random.Random(1)).wait_ms(connection) == wait
