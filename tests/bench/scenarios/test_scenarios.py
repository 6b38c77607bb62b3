"""Every scenario against real servers: the floor is clean, and what a server does wrong is found and named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.errors import Environment
from bench.measure import validity
from bench.result import Run
from bench.scenarios import drain, fanout, idle, interruption, outage, publish, reconnect, slow, soak, storm
from bench.scenarios.fanout import Burst, Fanout
from bench.scenarios.idle import Idle
from bench.serving import target
from bench.serving.server import Server
from tests import needs
from tests.bench.small_targets import codes, faulty, relay, setup

SMALL = Fanout(clients=20, rates=(50.0,), seconds=0.4, warmup=0.1)
FAULTY = replace(SMALL, finish_timeout=1.0)  # what is missing never comes: no more than this is waited for it
TRANSPORTS = ("sse", "cable")
SSE_FIRST = pytest.mark.parametrize("transport", ["sse", pytest.param("cable", marks=pytest.mark.slow)])

pytestmark = pytest.mark.live


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenarios in which something goes away wait less before it and behind it."""
    for module in (interruption, reconnect):
        monkeypatch.setattr(module, "WARM_SECONDS", 0.3)
    monkeypatch.setattr(interruption, "LAST_SECONDS", 2.0)


def one(made: list[Run]) -> Run:
    (run,) = made
    return run


def wrong(run: Run) -> dict[str, int]:
    assert run.account is not None
    return {name: run.account[name] for name in ("lost", "doubled", "disordered")}


CLEAN = {"lost": 0, "doubled": 0, "disordered": 0}

# ---- fanout, burst, soak


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_floor_is_clean(transport: str) -> None:
    run = one(fanout.measure(SMALL, setup(target.floor(), transport)))
    assert run.account == {"expected": 500, "received": 500, **CLEAN}
    assert run.series["latency"]["count"] == 400
    assert codes(run, "loss") == [] and run.point is None
    figures = run.figures
    layers = figures["user_us"] + figures["system_us"]
    assert layers == 0 or layers == pytest.approx(figures["us_per_delivery"]), (
        "ticks of 10 ms may all be missed"
    )
    assert 350 < figures["bytes_per_delivery"] < 460
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert figures["offered_per_second"] == 1000
    assert 0 < figures["us_per_write"] <= figures["us_per_delivery"]
    assert {column for column in run.samples["columns"]} >= {"user_ms", "pss_kb"}  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_clients_that_never_sleep_have_the_same_books(transport: str) -> None:
    run = one(fanout.measure(replace(SMALL, awake=True), setup(target.floor(), transport)))
    assert run.account == {"expected": 500, "received": 500, **CLEAN}
    assert run.series["latency"]["count"] == 400
    assert 0 < run.figures["client_share"] < 1


@SSE_FIRST
@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("drop", "lost"),
        pytest.param("double", "doubled", marks=pytest.mark.slow),
        pytest.param("swap", "disordered", marks=pytest.mark.slow),
    ],
)
def test_each_fault_is_caught_on_every_client(fault: str, name: str, transport: str) -> None:
    run = one(fanout.measure(FAULTY, setup(faulty(fault), transport)))
    assert wrong(run) == {**CLEAN, name: SMALL.clients}
    assert codes(run, "loss") == ["sequence"] and not run.valid


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_update_in_ten_thousand_missing_at_one_client_is_caught(transport: str) -> None:
    plan = replace(FAULTY, clients=100, rates=(100.0,), seconds=0.9)
    run = one(fanout.measure(plan, setup(faulty("once"), transport)))
    assert run.account is not None and run.account["expected"] == 10_000
    assert wrong(run) == {**CLEAN, "lost": 1}
    assert codes(run, "loss") == ["sequence"]


@SSE_FIRST
def test_bursts_are_checked_update_by_update(transport: str) -> None:
    plan = Burst(clients=20, rates=(5.0,), seconds=0.4, warmup=0.2, batch=40)
    run = one(fanout.measure(plan, setup(target.floor(), transport)))
    assert wrong(run) == CLEAN
    assert run.account is not None and run.account["expected"] == 3 * 40 * plan.clients
    assert "us_per_write" not in run.figures, "a delivery of a batch is no write"


@pytest.mark.slow
def test_a_sweep_has_a_run_for_each_rate_up_to_the_first_that_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(validity, "telling", lambda flags: True)  # whatever else this machine does
    made = fanout.measure(replace(SMALL, rates=(20.0, 40.0)), setup(target.floor(), "sse"))
    assert [run.point for run in made] == [20.0, 40.0]
    made = fanout.measure(
        replace(SMALL, rates=(20.0, 40.0), slo="p50<0.000001ms"), setup(target.floor(), "sse")
    )
    assert [run.point for run in made] == [20.0]


@pytest.mark.slow
def test_a_soak_looks_at_memory_and_the_servers_loop_in_its_window() -> None:
    plan = soak.Soak(clients=5, rate=20.0, minutes=0.05)
    run = one(soak.measure(plan, setup(target.app(), "sse")))
    assert run.samples is not None
    assert all(pss is not None for _, pss in soak.column(run.samples, "pss_kb"))
    assert all(lag is not None for _, lag in soak.column(run.samples, "loop_lag_ms"))
    assert wrong(run) == CLEAN


# ---- several processes, services


@pytest.mark.parametrize("scenario", ["fanout", pytest.param("idle", marks=pytest.mark.slow)])
def test_a_run_in_which_a_process_had_no_client_is_void(
    scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "_all_take_clients", lambda server: True)
    floor = setup(replace(target.floor(), processes=2), "sse")
    if scenario == "fanout":
        run = one(fanout.measure(SMALL, floor))
    else:
        run = one(idle.measure(Idle(counts=(0, 20), seconds=0.1), floor))
    publisher = int(scenario == "fanout")
    assert run.facts["connections_by_process"] == [SMALL.clients + publisher]
    assert "spread" in codes(run, "void")


@pytest.mark.slow
def test_how_clients_are_spread_over_the_processes_of_a_server_is_kept() -> None:
    """Both take clients in before any client comes; how many each then gets is the kernel's choice."""
    two = replace(target.with_settings(target.app(), "two", WEB_CONCURRENCY="2"), processes=2)
    run = one(fanout.measure(SMALL, setup(two, "sse")))
    counts = run.facts["connections_by_process"]
    assert sum(counts) == SMALL.clients + 1, "the publisher's is one of them"
    assert ("spread" in codes(run, "void")) == (len(counts) < 2)
    assert codes(run, "loss") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "transport"), [("app-redis-postgres", "sse"), ("app-redis-postgres-one", "cable")]
)
def test_the_app_over_redis_and_postgres_is_clean(name: str, transport: str) -> None:
    needs.redis_server()
    needs.postgres_binaries()
    run = one(fanout.measure(SMALL, setup(target.by_name(name), transport)))
    assert run.account == {"expected": 500, "received": 500, **CLEAN}
    assert codes(run, "loss") == []
    assert run.figures["redis_us"] > 0 and run.figures["postgres_us"] > 0
    assert run.facts["services"]["redis"].startswith("Redis server v=")
    assert run.facts["services"]["postgres"].startswith("postgres (PostgreSQL) ")


# ---- idle, storm, publish


@SSE_FIRST
def test_memory_is_a_slope(transport: str) -> None:
    plan = idle.Idle(counts=(0, 100, 200), seconds=0.2)
    run = one(idle.measure(plan, setup(target.floor(), transport)))
    assert [weight.connections for weight in run.facts["memory"]] == [0, 100, 200]
    assert set(run.facts["fit"]) >= {"slope", "low", "high"}
    assert run.figures["base_kb"] > 1000 and "idle_us_per_connection_second" in run.figures


def test_a_rate_that_the_load_client_limits_is_not_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validity, "CLIENT_FULL", 0.001)
    run = one(storm.measure(storm.Storm(clients=20, rounds=1), setup(target.floor(), "sse")))
    assert codes(run, "warn").count("client") == 1 and run.valid
    assert run.figures["us_per_connect"] > 0
    assert not {"connects_per_second", "p50_ms", "first_byte_p50_ms"} & run.figures.keys()


def test_a_storm_asks_for_a_server_that_greets() -> None:
    quiet = replace(target.floor(), keeps_state=False)
    with pytest.raises(Environment, match="greets nobody with the newest update"):
        storm.measure(storm.Storm(clients=5), setup(quiet, "sse"))


@pytest.mark.parametrize(("transport", "in_flight"), [("sse", 8), ("cable", 0)])
def test_a_storm_counts_until_the_first_update(
    transport: str, in_flight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validity, "CLIENT_FULL", 10.0)
    plan = storm.Storm(clients=50, rounds=2, in_flight=in_flight)
    run = one(storm.measure(plan, setup(target.floor(), transport)))
    assert run.series["first_update"]["count"] == 100
    accepted, byte, update = (run.series[name]["p50"] for name in ("accepted", "first_byte", "first_update"))
    assert 0 < accepted <= byte <= update
    assert run.figures["connects_per_second"] > 0 and run.figures["us_per_connect"] > 0


def test_publishes_alone_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "FSYNCS", 4)
    plan = publish.Publish(count=5, in_flight=8, seconds=0.2)
    run = one(publish.measure(plan, setup(target.floor(), "cable")))
    assert run.series["fsync"]["count"] == 4
    assert run.series["latency"]["count"] == 5
    assert run.figures["publishes_per_second"] > 0
    assert codes(run, "loss") == []


# ---- reconnect, slow, drain, outage


@pytest.mark.parametrize(
    ("transport", "loses"),
    [
        ("sse", False),
        pytest.param("cable+ext", False, marks=pytest.mark.slow),
        pytest.param("cable", True, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("hurried")
def test_who_comes_back_with_a_position_has_everything(transport: str, loses: bool) -> None:
    plan = reconnect.Reconnect(clients=20, rate=20.0, offline=0.3, spread=0.2, seconds=1.5)
    run = one(reconnect.measure(plan, setup(target.by_name("app"), transport)))
    assert run.figures["returned_share"] == 1
    assert run.figures["recovered_share"] == (0 if loses else 1)
    assert (wrong(run)["lost"] > 0) == loses
    assert wrong(run)["doubled"] == wrong(run)["disordered"] == 0
    assert codes(run, "loss") == []
    assert run.facts["curve"][-1][1] == 1


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_without_positions_updates_are_missed_and_that_is_the_finding() -> None:
    plan = reconnect.Reconnect(clients=10, rate=20.0, offline=0.3, spread=0.2, seconds=1.5, resume=False)
    run = one(reconnect.measure(plan, setup(target.by_name("app"), "sse")))
    assert run.figures["lost_per_client"] > 0 and codes(run, "loss") == []


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stuck_reader_is_cut_and_the_others_hear_everything(transport: str) -> None:
    app = target.with_settings(target.by_name("app"), "app", SEND_TIMEOUT="0.5")
    plan = slow.Slow(clients=5, rate=200.0, size=20_000, before=0.3, seconds=4.0)
    run = one(slow.measure(plan, setup(app, transport)))
    assert wrong(run) == CLEAN
    assert run.figures["stuck_seconds"] > 0.4
    assert run.figures["healthy_p99_ms"] > 0 and run.figures["healthy_p99_before_ms"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("transport", ["sse", "cable+ext"])
def test_a_deploy_says_goodbye_and_loses_nothing(transport: str) -> None:
    app = target.with_settings(target.by_name("app"), "app", RETRY_MIN="100", RETRY_MAX="500")
    plan = drain.Drain(clients=20, rate=10.0, seconds=5.0)
    run = one(drain.measure(plan, setup(app, transport)))
    assert run.figures["exit_status"] == 0
    assert run.figures["goodbye_share"] == run.figures["returned_share"] == 1
    assert wrong(run) == CLEAN
    assert codes(run, "loss") == []


@pytest.mark.usefixtures("hurried")
def test_an_outage_needs_something_to_lose() -> None:
    with pytest.raises(Environment, match="has no service 'redis'"):
        outage.measure(outage.Outage(clients=2, seconds=0.1), setup(target.floor(), "sse"))


@pytest.mark.slow
@pytest.mark.parametrize("service", ["redis", "postgres"])
def test_the_app_loses_nothing_with_a_service(service: str) -> None:
    """What was acknowledged comes, once, whichever of the two was away."""
    needs.redis_server()
    needs.postgres_binaries()
    plan = outage.Outage(clients=5, rate=20.0, service=service, away=0.5, seconds=3.0)
    run = one(outage.measure(plan, setup(target.by_name("app-redis-postgres"), "sse")))
    assert codes(run, "loss") == []
    assert run.account is not None and run.account["lost"] == 0


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_the_outage_of_a_broker_is_seen() -> None:
    needs.redis_server()
    plan = outage.Outage(clients=5, rate=20.0, away=0.5, seconds=3.0)
    run = one(outage.measure(plan, setup(relay(), "sse")))
    assert codes(run, "loss") == []
    assert run.figures["lost_per_client"] > 0, "a relay over Redis keeps nothing"
    assert run.figures["before_p50_ms"] > 0
    deliveries = sum(row[1] for row in run.facts["timeline"]["rows"])
    assert run.account is not None and deliveries == run.account["received"]
    assert {status for _, status in run.facts["ready"]["rows"]} <= {200, 0}
    assert run.facts["did"]["back_ns"] > run.facts["did"]["killed_ns"]
