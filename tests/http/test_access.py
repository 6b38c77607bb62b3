"""Which endpoints open without a ticket where STREAM_AUTH_SECRET is set: those that are listed here, no other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient

from dashboard_rt.app import create_app
from dashboard_rt.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"
# They show no update and no figure of the dashboard's stream, or want a token of their own.
OPEN = {
    *("/", "/dashboard", "/dashboard/sse-test", "/dashboard/websocket-test", "/static"),
    *("/up", "/health", "/ready", "/dashboard/time"),
    *("/metrics", "/dashboard/stats", "/dashboard/debug"),
    *(
        "/streams/{stream}",
        "/dashboard/trigger-jobs",
        "/dashboard/trigger-test-pubsub",
        "/dashboard/trigger-burst",
    ),
    "/tickets",
}
SNAPSHOTS = ("/dashboard/refresh", "/dashboard/metrics")


def settings(folder: Path, **environ: str) -> Settings:
    base = {
        "DATABASE_URL": f"sqlite:///{folder}/access.db",
        "STREAMS": "dashboard_updates:state,events:log",
        "JOBS": "off",
        "PUBLISH_TOKEN": "s3cret",
        "STREAM_AUTH_SECRET": SECRET,
    }
    return Settings.read({**base, **environ})


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(settings(tmp_path)), base_url="http://127.0.0.1:3000") as client:
        yield client


def ticket(client: TestClient, **wish: object) -> str:
    answer = client.post("/tickets", json=wish, headers={"authorization": "Bearer s3cret"})
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["ticket"]
    return token


def test_every_other_route_wants_a_ticket(client: TestClient, tmp_path: Path) -> None:
    asked = set()
    for route in create_app(settings(tmp_path)).routes:
        assert isinstance(route, Route | WebSocketRoute | Mount)
        if route.path in OPEN:
            continue
        asked.add(route.path)
        if isinstance(route, WebSocketRoute):
            with client.websocket_connect(f"ws://127.0.0.1:3000{route.path}") as socket:
                assert socket.receive_json() == {
                    "type": "disconnect",
                    "reason": "unauthorized",
                    "reconnect": False,
                }
        else:
            answer = client.get(route.path)
            assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized"), route.path
    assert asked == {"/dashboard/stream", "/cable", *SNAPSHOTS}


@pytest.mark.parametrize("path", SNAPSHOTS)
def test_a_snapshot_opens_with_a_ticket_for_the_dashboard(client: TestClient, path: str) -> None:
    lasting = ticket(client, once=False, streams=["dashboard_updates"])
    assert client.get(path, headers={"authorization": f"Bearer {lasting}"}).status_code == 200
    assert client.get(path, params={"ticket": lasting}).status_code == 200
    foreign = client.get(path, params={"ticket": ticket(client, streams=["events"])})
    assert (foreign.status_code, foreign.json()["error"]) == (403, "forbidden")
    single = ticket(client)
    assert [client.get(path, params={"ticket": single}).status_code for _ in range(2)] == [200, 401]


def test_the_page_shows_nothing_of_a_stream_that_wants_a_ticket(client: TestClient) -> None:
    update = '{"n":"not to be seen"}'
    client.post("/streams/dashboard_updates", content=update, headers={"authorization": "Bearer s3cret"})
    query = {"ticket": ticket(client, once=False)}
    deadline = time.monotonic() + 10
    while "not to be seen" not in client.get("/dashboard/refresh", params=query).text:
        assert time.monotonic() < deadline
    page = client.get("/", params=query).text
    assert "not to be seen" not in page and '"snapshot":null' in page and '"tickets":"/tickets"' in page
    assert '<meta name="stream-position" content="">' in page


def test_refusals_are_counted_by_reason(client: TestClient) -> None:
    client.get("/dashboard/refresh")
    client.get("/dashboard/refresh?ticket=nonsense")
    client.get("/dashboard/refresh", params={"ticket": ticket(client, streams=["events"])})
    text = client.get("/metrics").text
    for reason in ("missing", "malformed", "foreign_stream"):
        assert f'dashboard_rt_ticket_refusals_total{{reason="{reason}"}} 1.0' in text


def test_without_a_secret_a_ticket_means_nothing(tmp_path: Path) -> None:
    with TestClient(
        create_app(settings(tmp_path, STREAM_AUTH_SECRET="")), base_url="http://127.0.0.1:3000"
    ) as client:
        assert client.get("/dashboard/refresh?ticket=nonsense").status_code == 200
        refused = client.post("/tickets", headers={"authorization": "Bearer s3cret"})
        assert refused.status_code == 404 and "STREAM_AUTH_SECRET" in refused.json()["detail"]


# ---- POST /tickets


def issue(
    client: TestClient, token: str | None, body: str = "", **headers: str
) -> tuple[int, dict[str, object]]:
    bearer = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = client.post("/tickets", content=body, headers={**bearer, **headers})
    return answer.status_code, answer.json()


def test_who_gets_a_ticket(client: TestClient) -> None:
    lasting = ticket(client, once=False)
    for authority, status in (
        ("s3cret", 201),
        (lasting, 201),
        ("wrong", 401),
        (None, 401),
        (ticket(client), 403),
    ):
        assert issue(client, authority)[0] == status, authority


def test_a_holder_hands_on_what_he_has_and_no_more(client: TestClient) -> None:
    mine = ticket(client, once=False, streams=["events"], ttl=100)
    status, answer = issue(client, mine, '{"ttl": 3600, "once": false}')
    assert status == 201 and answer["ends_at"] == answer["opens_until"]
    _, shortest = issue(client, mine, '{"ttl": 1, "once": false}')
    assert int(str(answer["ends_at"])) - int(str(shortest["ends_at"])) in range(97, 101)
    assert client.get("/dashboard/refresh", params={"ticket": str(answer["ticket"])}).status_code == 403
    assert issue(client, mine, '{"streams": ["dashboard_updates"]}')[0] == 403
    assert issue(client, mine, '{"streams": ["nonsense"]}')[0] == 403, (
        "nor does he learn which streams there are"
    )
    assert issue(client, "s3cret", '{"streams": ["nonsense"]}')[1]["error"] == "unknown_stream"


def test_a_single_use_ticket_opens_for_a_minute_and_lasts_for_an_hour(client: TestClient) -> None:
    _, answer = issue(client, "s3cret")
    assert int(str(answer["ends_at"])) - int(str(answer["opens_until"])) in range(3539, 3542)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[]", 400),
        ("{", 400),
        ('{"stream": "events"}', 400),
        ('{"streams": []}', 400),
        ('{"streams": "events"}', 400),
        ('{"streams": null}', 400),
        ('{"ttl": 0}', 400),
        ('{"ttl": 86401}', 400),
        ('{"ttl": true}', 400),
        ('{"once": 1}', 400),
        (" " * 5000, 413),
        ("{}", 201),
    ],
)
def test_the_body(client: TestClient, body: str, status: int) -> None:
    assert issue(client, "s3cret", body)[0] == status


def test_the_demo_gives_tickets_to_pages_of_this_machine_alone(tmp_path: Path) -> None:
    app = create_app(settings(tmp_path, DEMO="on"))
    own = {"origin": "http://127.0.0.1:3000"}
    with TestClient(app, base_url="http://127.0.0.1:3000", client=("127.0.0.1", 50000)) as client:
        assert issue(client, None, **own)[0] == 201
        assert issue(client, None, origin="http://evil.example")[0] == 403
        assert issue(client, None, **own, **{"x-forwarded-for": "10.0.0.1"})[0] == 401
        assert issue(client, "wrong", **own)[0] == 401, "what is sent is checked"
        assert 429 in [issue(client, None, **own)[0] for _ in range(30)]
    with TestClient(app, base_url="http://127.0.0.1:3000", client=("10.0.0.1", 50000)) as client:
        assert issue(client, None, **own)[0] == 401


def test_the_demo_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert not settings(tmp_path).demo
