"""app: all parts together under Starlette's TestClient, where nothing is handed over."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from dashboard_rt import app as app_module
from dashboard_rt.app import (
    Parts,
    create_app,
    create_served_app,
    prepare_start,
    publishing,
    run_worker,
)
from dashboard_rt.errors import BadSetting, LogUnavailable
from dashboard_rt.eventlog.log import EventLog
from dashboard_rt.settings import Settings
from dashboard_rt.types import Bounds, Kind
from tests.handovers import until
from tests.patience import HANG_LIMIT

FROZEN_BY_PYTHON = gc.get_freeze_count()  # 3.12 freezes some hundred objects of its own
IDENTIFIER = '{"channel":"$pubsub","stream_name":"events"}'
EXT = "actioncable-v1-ext-json"
TOKEN = {"authorization": "Bearer s3cret"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.read(
        {
            "DATABASE_URL": f"sqlite:///{tmp_path}/app.db",
            "STREAMS": "dashboard_updates:state,events:log",
            "JOBS": "off",
            "PUBLISH_TOKEN": "s3cret",
            "DRAIN_SECONDS": "1",
            "ALLOWED_HOSTS": "a.example, testserver",
        }
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url="http://a.example") as client:
        yield client


def parts(client: TestClient) -> Parts:
    found: Parts = client.app.state.parts  # type: ignore[attr-defined]
    return found


def publish(client: TestClient, number: int) -> str:
    answer = client.post("/streams/events", content=json.dumps({"n": number}), headers=TOKEN)
    assert answer.status_code == 201
    position: str = answer.json()["position"]
    return position


def hear(websocket: Any, type_: str | None) -> dict[str, Any]:
    """The next frame of a type, or the next update; pings may come in between."""
    while (frame := json.loads(websocket.receive_text())).get("type") != type_:
        assert frame["type"] == "ping"
    found: dict[str, Any] = frame
    return found


def test_cable_from_the_handshake_to_the_update(client: TestClient) -> None:
    with client.websocket_connect("/cable", subprotocols=["actioncable-v1-json", EXT]) as websocket:
        assert cast(str, websocket.accepted_subprotocol) == EXT
        hear(websocket, "welcome")
        websocket.send_text(json.dumps({"command": "subscribe", "identifier": IDENTIFIER}))
        assert hear(websocket, "confirm_subscription")["verdict"] == "fresh"
        position = publish(client, 1)
        update = hear(websocket, None)
        assert (update["message"], f"{update['epoch']}-{update['offset']}") == ({"n": 1}, position)
        websocket.send_bytes(b"\x00")
        websocket.send_text("nonsense")
        websocket.send_text('{"command":"ping"}')
        hear(websocket, "pong")
    with client.websocket_connect("/cable") as websocket:
        hear(websocket, "welcome")
        command = {"command": "subscribe", "identifier": IDENTIFIER, "last_event_id": position}
        publish(client, 2)
        websocket.send_text(json.dumps(command))
        assert hear(websocket, "confirm_subscription")["verdict"] == "recovered"
        assert hear(websocket, None)["message"] == {"n": 2}


def test_cable_refuses_another_origin_with_404(client: TestClient) -> None:
    refused = client.websocket_connect("/cable", headers={"origin": "http://evil.example"})
    with pytest.raises(WebSocketDenialResponse) as denied:
        refused.__enter__()
    assert denied.value.status_code == 404
    with client.websocket_connect("/cable", headers={"origin": "http://testserver"}) as websocket:
        hear(websocket, "welcome")


def test_cable_over_http_is_404(client: TestClient) -> None:
    assert client.get("/cable").status_code == 404


def test_a_stream_runs_from_its_verdict_to_its_goodbye(client: TestClient) -> None:
    """TestClient hands out a response when it has ended: so another thread publishes, and drains the connections."""
    live = parts(client)
    first = publish(client, 1)

    def end() -> None:
        publish(client, 2)
        assert client.portal is not None
        client.portal.call(live.connections.drain)

    client.portal.call(first_connection, live, threading.Thread(target=end))  # type: ignore[union-attr]
    answer = client.get("/dashboard/stream", params={"stream": "events", "last_event_id": first})
    assert answer.status_code == 200
    blocks = [dict(line.split(": ", 1) for line in b.split("\n")) for b in answer.text.split("\n\n") if b]
    assert json.loads(blocks[1]["data"])["verdict"] == "recovered"
    assert [json.loads(block["data"]) for block in blocks if "event" not in block and "id" in block] == [
        {"n": 2}
    ]
    assert (blocks[-1]["event"], json.loads(blocks[-1]["data"])["reason"]) == ("goodbye", "server_restart")
    assert live.connections.count == 0


async def first_connection(live: Parts, then: threading.Thread) -> None:
    """Start a thread when the first client has come in."""
    add = live.connections.add

    def added(*args: Any) -> None:
        add(*args)
        then.start()

    live.connections.add = added  # type: ignore[assignment, method-assign]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/dashboard/", 200),
        ("/dashboard/refresh/", 200),
        ("/up/", 200),
        ("/dashboard/stream/?stream=unknown", 404),
        ("/none/", 404),
        ("/static/", 404),
    ],
)
def test_a_slash_at_the_end_is_served_or_404_and_never_redirected(
    client: TestClient, path: str, status: int
) -> None:
    answer = client.get(path, follow_redirects=False)
    assert (answer.status_code, answer.headers.get("location")) == (status, None)


def test_a_publish_or_a_cable_with_a_slash_at_its_end(client: TestClient) -> None:
    assert (
        client.post("/streams/events/", content="1", headers=TOKEN, follow_redirects=False).status_code == 201
    )
    with client.websocket_connect("/cable/") as websocket:
        hear(websocket, "welcome")


@pytest.mark.parametrize(
    "path", ["/", "/up", "/ready", "/metrics", "/dashboard/refresh", "/dashboard/stream"]
)
def test_before_its_start_and_after_its_end_the_app_says_what_is_missing(
    settings: Settings, path: str
) -> None:
    app = create_app(settings)
    unstarted = TestClient(app, base_url="http://a.example")  # not entered: its lifespan does not run
    for moment in ("before", "after"):
        answer = unstarted.get(path)
        assert (answer.status_code, answer.json()["error"]) == (503, "not_started"), moment
        assert "embedding.md" in answer.json()["detail"]
        assert unstarted.post("/streams/events", headers=TOKEN).status_code == 503
        with pytest.raises(WebSocketDenialResponse) as denied:
            unstarted.websocket_connect("/cable").__enter__()
        assert denied.value.status_code == 503
        with TestClient(app, base_url="http://a.example") as started:
            assert started.get("/up").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/dashboard/stream", 200),
        ("POST", "/dashboard/stream", 405),
        ("GET", "/dashboard/stream?stream=unknown", 404),
        ("GET", "/dashboard/stream?stream=events&stream=events", 400),
        ("GET", "/dashboard/stream?" + "&" * 40, 400),
    ],
)
def test_what_the_stream_answers_without_streaming(
    client: TestClient, method: str, path: str, status: int
) -> None:
    assert client.request(method, path).status_code == status


def test_everything_stops_in_order_and_starts_again_on_the_same_database(settings: Settings) -> None:
    with TestClient(create_app(settings), base_url="http://a.example") as client:
        position = publish(client, 1)
        with client.websocket_connect("/cable") as websocket:
            hear(websocket, "welcome")
            assert client.portal is not None
            client.portal.call(parts(client).connections.drain)
            told = hear(websocket, "disconnect")
            assert (told["reason"], told["reconnect"]) == ("server_restart", True)
            with pytest.raises(WebSocketDisconnect) as closed:
                websocket.receive_text()
            assert closed.value.code == 1001
        stopped = parts(client)
    assert not stopped.follower.following
    with TestClient(create_app(settings), base_url="http://a.example") as client:
        assert str(parts(client).hub.position("events")) == position
        assert client.get("/ready").status_code == 200


def test_several_apps_in_one_process_do_not_mix(tmp_path: Path) -> None:
    apps = [
        create_app(
            Settings.read(
                {"DATABASE_URL": f"sqlite:///{tmp_path}/{n}.db", "JOBS": "off", "ALLOWED_HOSTS": "testserver"}
            )
        )
        for n in "ab"
    ]
    with TestClient(apps[0]) as one, TestClient(apps[1]) as two, one.websocket_connect("/cable") as websocket:
        hear(websocket, "welcome")
        assert (parts(one).connections.count, parts(two).connections.count) == (1, 0)


def test_an_embedded_app_leaves_the_garbage_collector_alone(client: TestClient) -> None:
    assert gc.get_threshold() != (20_000, 50, 100)
    assert gc.get_freeze_count() <= FROZEN_BY_PYTHON


def test_a_process_of_its_own_sets_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/served.db")
    before = gc.get_threshold()
    try:
        create_served_app()
        assert gc.get_threshold() == (20_000, 50, 100)
        assert gc.get_freeze_count() > FROZEN_BY_PYTHON
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def test_the_environment_is_read_where_no_settings_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "nonsense")
    with pytest.raises(BadSetting, match="PORT"):
        create_app()


# ---- the parts that publish without serving (the process itself is in test_main.py)


def publish_settings(folder: Path, **environ: str) -> Settings:
    return Settings.read({"DATABASE_URL": f"sqlite:///{folder}/worker.db", **environ})


@pytest.mark.anyio
async def test_published_is_in_the_log_afterwards(tmp_path: Path) -> None:
    asked = publish_settings(tmp_path)
    await prepare_start(asked, 1)
    async with publishing(asked) as parts:
        receipt = await parts.publisher.publish("dashboard_updates", ["1", "2"])
    async with publishing(asked) as parts:
        epoch, streams = await parts.log.state()
    assert receipt.position == (epoch, 2)
    assert streams == {"dashboard_updates": Bounds(Kind.STATE, 1, 2)}


@pytest.mark.anyio
async def test_a_start_waits_for_a_database_that_another_process_has_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, open_log = 0, EventLog.open

    async def locked_twice(log: EventLog) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise LogUnavailable("Locked.")
        await open_log(log)

    monkeypatch.setattr(EventLog, "open", locked_twice)
    monkeypatch.setattr(app_module, "START_PAUSE", 0.01)
    settings = Settings.read({"DATABASE_URL": f"sqlite:///{tmp_path}/x.db"})
    await prepare_start(settings, 1)
    assert attempts == 3
    attempts = -1000
    monkeypatch.setattr(app_module, "START_SECONDS", 0.0)
    with pytest.raises(LogUnavailable, match="Locked"):
        await prepare_start(settings, 1)


@pytest.mark.anyio
async def test_what_is_open_is_closed_when_the_start_fails(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="DATABASE_URL"):
        async with publishing(publish_settings(tmp_path / "missing")):
            pass


@pytest.mark.anyio
async def test_nothing_to_publish_to(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="STREAMS must list dashboard_updates"):
        await run_worker(publish_settings(tmp_path, STREAMS="events:log", JOBS="off"))


def test_a_worker_that_stops_hears_no_second_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Platforms send more than one, also when the loop of the process is closed already."""
    monkeypatch.setattr(app_module, "tune_garbage_collector", lambda: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    async def stopped_worker() -> None:
        async with asyncio.timeout(HANG_LIMIT):
            running = asyncio.ensure_future(run_worker(publish_settings(tmp_path)))
            await until(lambda: signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM])
            signal.raise_signal(signal.SIGTERM)
            await running

    try:
        asyncio.run(stopped_worker())
        signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
