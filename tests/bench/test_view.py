"""bench/view.py: what the live view shows follows from what the parts said; bench/live.py: saying costs nothing."""

from __future__ import annotations

import socket
from pathlib import Path

from bench.live import NOBODY, Live
from bench.serving.publisher import Slot
from bench.view import Picture, drawn

SAMPLE = {
    "from": "sampler",
    "user_ms": 50.0,
    "system_ms": 150.0,
    "softirq_ms": 10.0,
    "pss_kb": None,
    "rss_kb": 51200,
    "fds": 1007,
}


def client(pid: int, **more: object) -> dict[str, object]:
    known = {"alive": 500, "received": 0, "doubled": 0, "disordered": 0, "p50_ms": 5.0, "p99_ms": 9.0}
    return {"from": "client", "pid": pid, "cpu_share": 0.2, **known, **more}


def lines(picture: Picture, now: float = 1.0) -> dict[str, tuple[str, str]]:
    return {label: (value, style) for label, value, style in picture.lines(now)}


def test_before_anybody_spoke_it_shows_that() -> None:
    found = lines(Picture())
    assert found["run"][0].startswith("- of -") and found["server"][0] == "-"


def test_several_load_clients_are_one_line() -> None:
    picture = Picture()
    for at, received in ((0.0, 0), (1.0, 10_000)):
        for pid in (1, 2):
            picture.hear(client(pid, received=received), at)
    found = lines(picture)
    assert found["deliveries"][0] == "20,000/s to 1,000 clients, doubled/disordered 0/0"
    assert found["latency"][0] == "p50 5.0  p99 9.0 ms in the last second"


def test_a_wrong_update_stands_out() -> None:
    picture = Picture()
    picture.hear(client(1, doubled=1), 0.0)
    assert lines(picture)["deliveries"] == ("0/s to 500 clients, doubled/disordered 1/0", "bold reverse")


def test_a_saturated_client_stands_out() -> None:
    picture = Picture()
    picture.hear(client(1, cpu_share=0.9), 0.0)
    value, style = lines(picture)["load client"]
    assert "90% of its core" in value and style == "reverse"


def test_the_server_while_the_window_is_open_shows_what_is_cheap() -> None:
    picture = Picture()
    picture.hear(SAMPLE, 0.0)
    assert "RSS 50.0 MiB" in lines(picture)["server"][0]
    picture.hear({**SAMPLE, "pss_kb": 40960}, 1.0)
    assert "PSS 40.0 MiB" in lines(picture)["server"][0]
    assert "the sampler has said nothing" in lines(picture, now=9.0)["note"][0]


def test_another_run_begins_anew() -> None:
    picture = Picture()
    picture.hear(client(1, received=5), 0.0)
    picture.hear({"from": "noise", "verdict": "quiet"}, 0.0)
    picture.hear({"from": "session", "step": 2, "total": 12, "row": "app sse"}, 1.0)
    found = lines(picture)
    assert found["run"][0] == "2 of 12  app sse"
    assert "to 0 clients" in found["deliveries"][0] and found["machine"][0] == "quiet"
    assert drawn(picture, 1.0).row_count == len(found)


def test_nobody_watching_is_nothing_to_wait_for(tmp_path: Path) -> None:
    NOBODY.say("x")
    gone = Live(str(tmp_path / "gone"))
    gone._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with gone._out:
        gone.say("x")  # a view that is gone
        gone.published(Slot(0, 1, 1))


def test_what_is_said_arrives(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(str(tmp_path / "status"))
        hears.settimeout(5)
        live = Live(str(tmp_path / "status"))
        live._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with live._out:
            live.tell("noise", verdict="quiet")
            assert hears.recv(1000) == b'{"from": "noise", "verdict": "quiet"}'
