"""The parts that publish without serving. (The process itself is in test_main.py.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard_rt.errors import BadSetting
from dashboard_rt.settings import Settings
from dashboard_rt.types import Bounds, Kind
from dashboard_rt.worker import prepare, work, writing

pytestmark = pytest.mark.anyio


def settings(folder: Path, **environ: str) -> Settings:
    return Settings.read({"DATABASE_URL": f"sqlite:///{folder}/worker.db", **environ})


async def test_published_is_in_the_log_afterwards(tmp_path: Path) -> None:
    asked = settings(tmp_path)
    await prepare(asked)
    async with writing(asked) as parts:
        receipt = await parts.publisher.publish("dashboard_updates", ["1", "2"])
    async with writing(asked) as parts:
        epoch, streams = await parts.log.state()
    assert receipt.position == (epoch, 2)
    assert streams == {"dashboard_updates": Bounds(Kind.STATE, 1, 2)}


async def test_what_is_open_is_closed_when_the_start_fails(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="DATABASE_URL"):
        async with writing(settings(tmp_path / "missing")):
            pass


async def test_nothing_to_publish_to(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="STREAMS must list dashboard_updates"):
        await work(settings(tmp_path, STREAMS="events:log", JOBS="off"))
