"""hub/timer: ticks on multiples of the period, none made up for."""

from __future__ import annotations

import asyncio

from dashboard_rt.hub.timer import Timer
from tests.simulation import VirtualLoop


def test_ticks_come_every_period_until_stopped() -> None:
    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        ticks: list[float] = []
        timer = Timer(0.5, lambda late: ticks.append(loop.time()))
        await asyncio.sleep(2.1)
        timer.stop()
        await asyncio.sleep(2)
        return ticks

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(run()) == [0.5, 1.0, 1.5, 2.0]


def test_timers_of_one_period_tick_at_the_same_moments() -> None:
    async def run() -> tuple[list[float], list[float]]:
        loop = asyncio.get_running_loop()
        early: list[float] = []
        late: list[float] = []
        first = Timer(0.1, lambda _: early.append(loop.time()))
        await asyncio.sleep(0.73)
        second = Timer(0.1, lambda _: late.append(loop.time()))
        await asyncio.sleep(100)
        first.stop()
        second.stop()
        return early, late

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        early, late = runner.run(run())
    assert early[-len(late) :] == late
    assert len(early) in (1007, 1008) and len(late) in (1000, 1001)  # and none twice, however 0.1 is rounded


def test_a_loop_that_slept_is_told_how_long_and_ticks_are_not_made_up_for() -> None:
    async def run() -> list[tuple[float, float]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        ticks: list[tuple[float, float]] = []
        timer = Timer(1.0, lambda late: ticks.append((loop.time(), late)))
        await asyncio.sleep(1.5)
        loop.now += 5  # something kept the loop busy
        await asyncio.sleep(2)
        timer.stop()
        return ticks

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        ticks = runner.run(run())
    assert ticks[:2] == [(1.0, 0.0), (6.5, 4.5)]
    assert len(ticks) <= 5


def test_a_tick_that_fails_does_not_end_the_timer() -> None:
    async def run() -> tuple[int, list[str]]:
        loop = asyncio.get_running_loop()
        reported: list[str] = []
        loop.set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
        ticks = 0

        def tick(late: float) -> None:
            nonlocal ticks
            ticks += 1
            if ticks == 1:
                raise RuntimeError("boom")

        timer = Timer(1.0, tick)
        await asyncio.sleep(3.5)
        timer.stop()
        return ticks, reported

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(run()) == (3, ["boom"])
