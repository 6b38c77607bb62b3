"""bench/coefficients.py and bench/calculator.py: what the calculator reckons with is what the result files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import calculator, claims, coefficients
from bench.claims import Measured
from bench.coefficients import Coefficient, Reading
from bench.errors import Environment
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
    quoted = {claim.id: claims.measure(claim) for claim in claims.load()}
    for coefficient, claim in (
        ("memory-sse", "second-memory-sse"),
        ("memory-cable", "second-memory-cable"),
        ("connect-cable", "second-connect-cpu-cable"),
        ("write-1000-sse", "second-write-sse"),
        ("write-16000-cable", "second-large-write-cable"),
    ):
        measured = quoted[claim]
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
