"""tasks: work beside its owner, whose end is noticed."""

from __future__ import annotations

import asyncio

import pytest

from dashboard_rt.hub.tasks import BackgroundTasks
from dashboard_rt.telemetry import Telemetry
from tests.patience import HANG_LIMIT

pytestmark = pytest.mark.anyio


async def test_what_runs_is_counted_until_it_has_ended() -> None:
    tasks, go_on = BackgroundTasks(Telemetry(), "here"), asyncio.Event()

    async def work() -> None:
        await go_on.wait()

    tasks.spawn(work())
    tasks.spawn(work())
    await asyncio.sleep(0)
    assert len(tasks) == 2
    go_on.set()
    async with asyncio.timeout(HANG_LIMIT):
        while tasks:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0)


async def test_a_failure_is_counted_where_it_belongs() -> None:
    telemetry = Telemetry()
    tasks = BackgroundTasks(telemetry, "here")

    async def fails() -> None:
        raise ZeroDivisionError

    tasks.spawn(fails())
    async with asyncio.timeout(HANG_LIMIT):
        while tasks:  # noqa: ASYNC110  as above
            await asyncio.sleep(0)
    assert telemetry.value("swallowed", where="here") == 1
