"""bench.load.awake: a loop that turns without a pause, and how busy it really is."""

from __future__ import annotations

import asyncio
import time

from bench.load.awake import Awake
from bench.load.tally import Tally


def test_the_loop_turns_on_while_nothing_is_due() -> None:
    async def turned() -> int:
        awake = Awake(Tally())
        awake.begin()
        while awake.turns < 100:  # noqa: ASYNC110 the turns are what is waited for
            await asyncio.sleep(0.001)
        awake.end()
        ended = awake.turns
        await asyncio.sleep(0.001)
        return awake.turns - ended

    assert asyncio.run(turned()) == 0


def test_only_turns_in_which_something_was_read_count_as_busy() -> None:
    async def busy(reads: int) -> int:
        tally = Tally()
        awake = Awake(tally)
        awake.begin()
        awake.begin()  # changes nothing
        for _ in range(5):
            await asyncio.sleep(0)
            tally.reads += reads
            time.sleep(0.01)  # noqa: ASYNC251 what a turn with news would take
        await asyncio.sleep(0)
        awake.end()
        return awake.busy_ns

    assert asyncio.run(busy(reads=0)) == 0
    assert asyncio.run(busy(reads=1)) >= 50e6


def test_it_ends_and_may_begin_again() -> None:
    async def states() -> list[bool]:
        awake = Awake(Tally())
        seen = [awake.turning]
        for change in (awake.begin, awake.end, awake.end, awake.begin):
            change()
            seen.append(awake.turning)
        return seen

    assert asyncio.run(states()) == [False, True, False, False, True]
