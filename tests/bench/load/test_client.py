"""bench/load/client.py and bench/load/group.py in this process: accounts, drops and returns, status."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from bench.errors import Environment
from bench.load.client import LoadClient
from bench.load.tally import PING_SLOT_NS
from tests.bench.load.peer import Talk, talking, until

pytestmark = pytest.mark.anyio
OPEN = {"do": "open", "count": 4, "in_flight": 2, "timeout": 5}


async def hold(talk: Talk) -> None:
    talk.verdict("fresh", 0)
    await talk.gone()


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [((1, 3), "lost"), ((1, 2, 2, 3), "doubled"), ((1, 3, 2), "disordered"), ((1, 2, 3), "")],
)
async def test_each_fault_is_in_the_account_of_every_client(numbers: tuple[int, ...], fault: str) -> None:
    async with talking(hold, "sse") as (peer, load):
        await load.obey(dict(OPEN))
        for talk in peer.talks:
            for number in numbers:
                talk.event(number)
        await until(lambda: load.tally.updates == 4 * len(numbers))
        account = (await load.obey({"do": "finish", "last": 3, "timeout": 0.2}))["account"]
        assert {name: account[name] for name in ("lost", "doubled", "disordered")} == {
            name: 4 * (name == fault) for name in ("lost", "doubled", "disordered")
        }


async def test_a_new_window_measures_anew_and_keeps_the_account() -> None:
    async with talking(hold, "sse") as (peer, load):
        await load.obey(dict(OPEN))
        for first in (1, 2):
            await load.obey({"do": "measure", "first": first})
            for talk in peer.talks:
                talk.event(first)
            books = await load.obey({"do": "finish", "last": first, "timeout": 5})
            assert (books["measured"], books["latency"]["count"]) == (4, 4)
            assert books["account"]["expected"] == 4 * first
            assert books["cpu_share"] > 0


async def test_pings_ahead_of_the_window_do_not_count() -> None:
    async with talking(hold, "sse") as (peer, load):
        await load.obey(dict(OPEN))
        before = time.monotonic_ns()
        for talk in peer.talks:
            talk.send(b"event: heartbeat\ndata: {}\n\n")
        await until(lambda: load.tally.controls["heartbeat"] == 4)
        after = time.monotonic_ns() + PING_SLOT_NS
        for begin_ns, counted in ((before, 4), (after, 0)):
            books = await load.obey({"do": "finish", "last": 0, "timeout": 0, "begin_ns": begin_ns})
            assert books["pings"] == counted


async def test_peek_is_of_what_came_since_the_last_one() -> None:
    async with talking(hold, "sse") as (peer, load):
        await load.obey(dict(OPEN))
        for talk in peer.talks:
            talk.event(1)
            talk.event(1)
        await until(lambda: load.tally.updates == 8)
        first, second = await load.obey({"do": "peek"}), await load.obey({"do": "peek"})
        assert (first["alive"], first["received"], first["measured"], first["doubled"]) == (4, 8, 8, 4)
        assert 0 < first["p50_ms"] <= first["p99_ms"]
        assert second["p50_ms"] is None
        assert second["received"] == 8


async def test_the_status_is_told_to_who_listens_and_what_nobody_hears_is_counted(tmp_path: Path) -> None:
    path = str(tmp_path / "status")
    wire = {"transport": "sse", "host": "127.0.0.1", "port": 1, "path": "/"}
    load = LoadClient({"wire": wire, "sources": ["127.0.0.2"], "first": 1, "status": path})
    assert load.beacon is not None
    load.beacon.send()
    assert load.books(0)["status_unheard"] == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as view:
        view.bind(path)
        view.settimeout(5)
        load.beacon.send()
        heard = json.loads(view.recv(65536))
    load.stop()
    assert (heard["from"], heard["received"]) == ("client", 0)


async def test_a_transport_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"no transport 'pigeon'; there are sse, cable, "):
        LoadClient({"wire": {"transport": "pigeon", "host": "", "port": 1, "path": ""}, "first": 1})


async def test_an_unknown_command_is_answered_with_those_that_exist() -> None:
    async with talking(hold, "sse") as (_, load):
        assert "there are open, " in (await load.obey({"do": "dance"}))["failed"]


async def test_nobody_listens() -> None:
    async with talking(hold, "sse") as (peer, load):
        peer.refuse()
        found = await load.obey(dict(OPEN))
        assert (found["alive"], found["missing"]) == (0, 4)
        assert [error for error in found["errors"] if "Connection refused" in error]


async def test_a_server_that_says_nothing_is_not_waited_for_without_end() -> None:
    async with talking(Talk.gone, "sse") as (_, load):
        found = await load.obey({**OPEN, "timeout": 0.2})
        assert (found["alive"], found["missing"]) == (0, 4)
        assert "connects not done after 0.2 s" in found["errors"]


# ---- drop and come back


async def resuming(talk: Talk) -> None:
    """Says what a server with a log of three updates says; the log's first two come to those without a position."""
    position = talk.headers.get("last-event-id")
    if position is None:
        talk.verdict("fresh", 0)
        talk.event(1)
        talk.event(2)
    else:
        have = int(position.partition("-")[2])
        talk.verdict("recovered", have, replaying=3 - have)
        for number in range(have + 1, 4):
            talk.event(number)
    await talk.gone()


async def drop(load: LoadClient) -> None:
    assert await load.obey({"do": "drop"}) == {"dropped": 4}
    await until(lambda: not load.alive)


async def come_back(load: LoadClient, **more: Any) -> dict[str, Any]:
    terms = {"spread_s": 0.05, "offline_s": 0.0, "resume": True, "timeout": 5}
    return await load.obey({"do": "come_back", **terms, **more})


async def test_who_resumes_has_lost_nothing() -> None:
    async with talking(resuming, "sse") as (peer, load):
        await load.obey(dict(OPEN))
        await until(lambda: load.tally.updates == 8)
        await drop(load)
        back = await come_back(load)
        assert {talk.headers.get("last-event-id") for talk in peer.talks[4:]} == {"e-2"}
        assert (back["clients"], back["returned"], back["verdicts"]["recovered"]) == (4, 4, 4)
        assert (back["ready"]["count"], back["caught_up"]["count"], len(back["back_s"])) == (4, 4, 4)
        books = await load.obey({"do": "finish", "last": 3, "timeout": 5})
        assert books["account"] == {"expected": 12, "received": 12, "lost": 0, "doubled": 0, "disordered": 0}
        assert (books["closed"], books["alive"]) == (0, 4)


async def test_who_has_everything_is_caught_up_when_told_so() -> None:
    async with talking(resuming, "sse") as (_, load):
        await load.obey(dict(OPEN))
        await until(lambda: load.tally.updates == 8)
        for _ in range(2):  # the second time nothing is left to replay
            await drop(load)
            back = await come_back(load)
            assert (back["returned"], back["caught_up"]["count"]) == (4, 4)
            await until(lambda: load.tally.updates == 12)


async def test_who_does_not_resume_brings_no_position_and_misses_what_came() -> None:
    async def script(talk: Talk) -> None:
        talk.verdict("fresh", 2 * talk.number // 4)
        talk.event(1 if talk.number < 4 else 3)
        await talk.gone()

    async with talking(script, "sse") as (peer, load):
        await load.obey(dict(OPEN))
        await until(lambda: load.tally.updates == 4)
        await drop(load)
        back = await come_back(load, resume=False)
        assert {talk.headers.get("last-event-id") for talk in peer.talks} == {None}
        assert back["verdicts"] == {"recovered": 0, "gap": 0, "fresh": 4}
        await until(lambda: load.tally.updates == 8)
        account = (await load.obey({"do": "finish", "last": 3, "timeout": 0.2}))["account"]
        assert (account["received"], account["lost"]) == (8, 4)


@pytest.mark.parametrize(
    ("transport", "place", "brought"),
    [
        ("cable+ext", {"stream_id": "s", "epoch": "e", "offset": 1}, "e-1"),
        ("cable", {}, None),
    ],
)
async def test_cables_resume_where_the_protocol_tells_the_place(
    transport: str, place: dict[str, Any], brought: str | None
) -> None:
    asked: list[dict[str, Any]] = []

    async def script(talk: Talk) -> None:
        talk.upgrade("actioncable-v1-ext-json" if transport == "cable+ext" else "actioncable-v1-json")
        asked.append(await talk.command())
        talk.confirm(verdict="recovered" if "last_event_id" in asked[-1] else "fresh", position="e-0")
        talk.message(1 if talk.number < 4 else 2, **place)
        await talk.gone()

    async with talking(script, transport) as (_, load):
        await load.obey(dict(OPEN))
        await until(lambda: load.tally.updates == 4)
        await drop(load)
        back = await come_back(load)
        assert [one.get("last_event_id") for one in asked] == [None] * 4 + [brought] * 4
        assert back["verdicts"]["recovered" if brought else "fresh"] == 4
        assert back["caught_up"]["count"] == 4


async def test_a_cable_that_got_nothing_yet_resumes_from_its_confirm() -> None:
    asked: list[dict[str, Any]] = []

    async def script(talk: Talk) -> None:
        talk.upgrade("actioncable-v1-json")
        asked.append(await talk.command())
        talk.confirm(verdict="fresh", position="e-7")
        await talk.gone()

    async with talking(script, "cable") as (_, load):
        await load.obey(dict(OPEN))
        await drop(load)
        await come_back(load)
        assert [one.get("last_event_id") for one in asked[4:]] == ["e-7"] * 4


async def test_who_is_turned_away_has_not_returned() -> None:
    async def script(talk: Talk) -> None:
        if talk.number < 6:
            talk.verdict("fresh", 0)
            await talk.gone()

    async with talking(script, "sse") as (_, load):
        await load.obey(dict(OPEN))
        await drop(load)
        back = await come_back(load)
        assert (back["clients"], back["returned"]) == (4, 2)
        assert load.tally.errors["a connection ended before it was ready"] == 2


async def test_the_wait_for_catching_up_has_an_end() -> None:
    async def script(talk: Talk) -> None:
        talk.verdict("recovered", 1, replaying=5)
        await talk.gone()

    async with talking(script, "sse") as (peer, load):
        await load.obey(dict(OPEN))
        await drop(load)
        back = await come_back(load, timeout=1.0)
        assert (back["returned"], back["caught_up"]["count"]) == (4, 0)
        for talk in peer.talks[4:]:  # too late to be told, and still an update
            talk.event(1)
        await until(lambda: load.tally.updates == 4)


async def test_come_back_needs_a_drop() -> None:
    async with talking(hold, "sse") as (_, load):
        with pytest.raises(Environment, match="drop the clients first"):
            await come_back(load)
