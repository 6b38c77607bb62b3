"""bench/coefficients.py and bench/calculator.py: what the calculator reckons with is what the result files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import calculator, claims, coefficients
from bench.claims import Measured
from bench.coefficients import Coefficient, Reading
from bench.errors import Environment
from bench.result import Result, Run
from dashboard_rt.settings import Settings
from dashboard_rt.transports import sse
from dashboard_rt.transports.cable import frames
from dashboard_rt.types import Position, Update
from tests.bench import results as made

POSITION = Position("k3f9a2b1", 1042)


def reading(value: float, low: float | None = None, high: float | None = None) -> Reading:
    return Reading(Measured(value, low, high), "a.json", "app sse: p50_ms")


def test_the_value_is_that_of_the_quoted_run_and_the_range_reaches_over_all() -> None:
    found = Coefficient("a", "a", "ms", [reading(5, 4, 6), reading(9, 8, 10), reading(3)])
    assert (found.value, found.low, found.high) == (5, 3, 10)
    assert Coefficient("a", "a", "ms", [reading(1, -2, 4)]).low == 0, "a cost is never below 0"
    protocol = Coefficient("a", "a", "bytes", fixed=38)
    assert (protocol.value, protocol.low, protocol.high) == (38, 38, 38)


def test_coefficients_are_the_figures_that_other_documents_quote() -> None:
    by_id = {one.id: one for one in coefficients.load()}
    quoted = {claim.id: claim for claim in claims.load()}
    for coefficient, claim in (
        ("memory-sse", "second-memory-sse"),
        ("memory-cable", "second-memory-cable"),
        ("connect-cable", "second-connect-cpu-cable"),
        ("write-1000-sse", "second-write-sse"),
        ("write-16000-cable", "second-large-write-cable"),
    ):
        measured = claims.measure(quoted[claim])
        assert measured is not None
        assert by_id[coefficient].value == measured.value, coefficient


def test_a_row_that_was_not_measured_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = made.series("app", "sse", "us_per_delivery", [7.0, 7.2])
    monkeypatch.setattr(coefficients, "read", lambda file: made.result(*runs))
    assert coefficients.of_row("a.json", "app sse", "us_per_write", "us_per_delivery").of.endswith(
        "us_per_delivery"
    )
    with pytest.raises(Environment, match=r"a\.json has no clean run of app cable with p50_ms"):
        coefficients.of_row("a.json", "app cable", "p50_ms")


def handmade(file: str) -> Result:
    """A small result for each file that coefficients are taken from, with figures that can be followed by hand."""
    sweep = [
        made.run(
            "app",
            transport,
            pair,
            point=rate,
            us_per_delivery=(30_000 + 8_000 * rate) / (1000 * rate),  # 30 ms a second and 8 ms an update
            offered_per_second=1000 * rate,
            server_share=0.03 + 0.008 * rate,
            p99_ms=120 if rate > 50 else 20,
        )
        for transport in ("sse", "cable")
        for pair in (0, 1)
        for rate in (5.0, 20.0, 50.0, 80.0)
    ]
    figures = {
        "fanout": {"us_per_delivery": 10.0, "us_per_write": 10.0, "bytes_per_delivery": 380.0},
        "burst": {
            "us_per_delivery": 0.3,
            "bytes_per_delivery": 374.06,
        },  # 100 of them take 30 us and 37,406 bytes
        "idle": dict.fromkeys(
            ("kb_per_connection", "kernel_kb_per_connection", "idle_us_per_connection_second"), 2.0
        ),
        "large": {"us_per_write": 12.0},
        "storm": {"us_per_connect": 100.0},
        "publish": {"us_per_publish": 1000.0},
        "publish-shared": {"us_per_publish": 2000.0},
    }
    name = Path(file).stem
    rates = {"sweep": [5.0, 20.0, 50.0, 80.0], "burst": [0.5]}.get(name, [20.0])
    plan = {"clients": 16_000 if name == "large" else 1000, "rates": rates, "batch": 100, "size": 350}
    if name == "sweep":
        return made.result(*sweep, plan=plan)
    if name == "processes":
        return made.result(*processes(), plan=plan)
    target = "app-redis-postgres-one" if name == "publish-shared" else "app"
    rows = [
        made.run(target, transport, pair, **figures[name])
        for transport in ("sse", "cable")
        for pair in (0, 1)
    ]
    return made.result(*rows, plan=plan)


def processes() -> list[Run]:
    """Two processes take 1 and 3 us more for each delivery than one; nobody connected, each has 80 MiB."""
    found = []
    for transport in ("sse", "cable"):
        found += [made.run("app", transport, pair, us_per_write=10.0) for pair in (0, 1)]
        for pair, more in enumerate((1.0, 3.0)):
            one = made.run("app-redis-postgres-one", transport, pair, us_per_delivery=9.0)
            two = made.run("app-redis-postgres", transport, pair, us_per_delivery=9.0 + more)
            two.facts = {
                "memory": [[500, 163_840 + 1000, 0, 0], [1000, 163_840 + 2000, 0, 0]],
                "connections_by_process": {"1": 500, "2": 500},
            }
            found += [one, two]
    return found


def test_what_is_no_figure_of_a_row_is_worked_out_from_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coefficients, "read", handmade)
    by_id = {one.id: one for one in coefficients.load.__wrapped__()}
    assert by_id["base"].value == pytest.approx(163_840 / 2)
    assert by_id["relay"].value == pytest.approx(2000)  # 2 us for each of 1,000 deliveries
    assert by_id["relay"].low == 0 and by_id["relay"].high > 3000
    assert by_id["pause-sse"].value == pytest.approx(30)
    # A burst each 2 s follows a pause that is 0.15 s longer than that of 20 updates a second: 4.5 us a delivery.
    assert by_id["byte-cable"].value == pytest.approx(1000 * (20 - 30 * 0.15) / (37_406 - 380))
    assert by_id["update-bytes-sse"].value + by_id["write-bytes-sse"].value == pytest.approx(30)
    assert by_id["write-bytes-sse"].value == pytest.approx(6)
    assert by_id["core-share"].value == pytest.approx(0.03 + 0.008 * 50), "at 80 the demand was missed"
    assert (by_id["publish"].value, by_id["publish"].low) == (2000, 1000)


def test_what_no_result_tells_is_what_the_server_sends() -> None:
    heartbeat = sse.heartbeat_event(1764446400.0, POSITION)
    assert len(coefficients.HEARTBEAT) == len(heartbeat)
    assert len(heartbeat) < 256, "a chunk's size of two digits"
    assert len(coefficients.HEARTBEAT) + coefficients.CHUNK == len(sse.CHUNKED.frame(heartbeat))
    ping = frames.ping(1694041735)
    assert ping == coefficients.PING
    assert len(frames.frame_header(len(ping))) == coefficients.FRAME_HEAD
    update = Update("dashboard_updates", POSITION.id, "{}")
    with_position, without = frames.body(update, POSITION.epoch), frames.body(update, None)
    assert len(with_position) - len(without) == len(coefficients.TRIPLE)
    settings = Settings.read({})
    assert settings.sse_heartbeat == coefficients.HEARTBEAT_SECONDS
    assert settings.cable_ping == coefficients.PING_SECONDS


def test_the_files_of_the_calculator_are_current_and_what_is_not_is_told(tmp_path: Path) -> None:
    assert list(calculator.faults()) == []
    script, document = tmp_path / "coefficients.js", tmp_path / "calculator.md"
    written = calculator.SCRIPT.read_text()
    script.write_text(written.replace('"high": 2.0', '"high": 3.0', 1))
    document.write_text(calculator.DOCUMENT.read_text().replace(" KiB |", " MiB |", 1))
    assert script.read_text() != written
    told = list(calculator.faults(script, document))
    assert len(told) == 2 and all("python -m bench coefficients --write" in one for one in told)
    document.write_text("no table")
    assert "has no table" in list(calculator.faults(tmp_path / "nothing.js", document))[1]


def test_the_script_names_each_result_file_with_commit_and_machine() -> None:
    text = calculator.script()
    known = json.loads(text[text.index("coefficients: ") + len("coefficients: ") : text.rindex(" };")])
    files = {one["file"]: one for one in known["files"]}
    for value in known["values"].values():
        sources = [] if isinstance(value["from"], str) else value["from"]
        assert all(files[one["file"]]["commit"] and files[one["file"]]["machine"] for one in sources)
        assert value["low"] <= value["value"] <= value["high"]
    assert (claims.RESULTS / next(iter(files))).is_file()
