"""bench/serving/server.py and program.py: a server starts clean, ends as told, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import Environment
from bench.serving import server as server_module
from bench.serving import target
from bench.serving.need import Need
from bench.serving.program import alive
from bench.serving.server import Server
from bench.serving.target_type import Outside, Target
from tests.bench.serving.programs import asked, ended, listens, until

pytestmark = pytest.mark.live

STUBBORN = """
import http.server, os, signal, subprocess, sys
signal.signal(signal.SIGTERM, {on_term})
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
open("child", "w").write(str(child.pid))
class Up(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/die":
            sys.stderr.write("out of luck\\n")
            sys.stderr.flush()
            os._exit(7)
http.server.HTTPServer(("127.0.0.1", {{port}}), Up).serve_forever()
"""
ROOT = Path(__file__).parents[3]
IGNORES = "signal.SIG_IGN"
OBEYS = "lambda *_: os._exit(5)"


def script(text: str) -> Target:
    """A server of a few lines."""
    return Target("script", (sys.executable, "-c", text), ready_path="/up")


def with_child(on_term: str) -> Target:
    """A server with a child in a session of its own, which no signal to the group reaches."""
    return script(STUBBORN.replace("{on_term}", on_term).replace("{{port}}", "{port}"))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """Where runs have their directories; none may be left."""
    yield tmp_path
    assert not list(tmp_path.glob("bench-*"))


def test_each_start_has_a_directory_of_its_own(base: Path) -> None:
    with Server(target.floor(), base=base) as first, Server(target.floor(), base=base) as second:
        assert first.directory != second.directory
        assert first.port != second.port
        assert listens(first.port)
        assert listens(second.port)


def test_it_ends_with_the_block(base: Path) -> None:
    with Server(target.floor(), base=base) as server:
        pid = server.pid
        assert alive(pid)
    assert not alive(pid)
    assert not server.stopped_by_force


def test_it_is_pinned_where_it_is_told(base: Path) -> None:
    core = min(os.sched_getaffinity(0))
    with Server(target.floor(), core=core, base=base) as server:
        assert os.sched_getaffinity(server.pid) == {core}


def test_a_server_hears_little_of_the_environment(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "9")
    with Server(target.floor(), base=base) as server:
        variables = Path(f"/proc/{server.pid}/environ").read_bytes()
    assert b"PATH=" in variables
    assert b"WEB_CONCURRENCY" not in variables


def test_how_it_ended_is_told(base: Path) -> None:
    with Server(with_child(OBEYS), base=base) as server:
        child = int((server.directory / "child").read_text())
        stopped = server.stop()
        assert (stopped.status, stopped.forced) == (5, False)
        assert stopped.seconds >= 0
        ended(child)
    assert not server.stopped_by_force


def test_what_it_said_can_be_read_when_it_has_ended(base: Path) -> None:
    with Server(with_child(OBEYS), base=base) as server:
        asked(server.port, "/")
        server.stop()
        assert "GET / HTTP/1.0" in server.said()


def test_who_ignores_sigterm_is_killed_with_all_its_children(base: Path) -> None:
    with Server(with_child(IGNORES), base=base) as server:
        child = int((server.directory / "child").read_text())
        stopped = server.stop(grace=0.2)
        assert (stopped.status, stopped.forced) == (-signal.SIGKILL, True)
        assert stopped.seconds >= 0.2
        ended(child)
    assert server.stopped_by_force


def test_a_restart_has_the_same_port_and_directory(base: Path) -> None:
    with Server(target.floor(), base=base) as server:
        port, directory, pid = server.port, server.directory, server.pid
        assert server.restart().status == 0
        assert (server.port, server.directory) == (port, directory)
        assert server.pid != pid
        assert listens(port)


def test_it_outlives_the_thread_that_started_it(base: Path) -> None:
    """Linux takes a process for orphaned when the thread that started it ends, and the leash would pull."""
    with Server(target.floor(), base=base) as server:
        with ThreadPoolExecutor(1) as beside:
            thread = beside.submit(threading.get_native_id).result()
            beside.submit(server.restart).result(20)
        until(lambda: not Path(f"/proc/self/task/{thread}").exists(), "the end of the thread")
        assert b"200 OK" in asked(server.port, "/")


def test_a_server_that_is_stopped_cannot_be_stopped_again(base: Path) -> None:
    with Server(target.floor(), base=base) as server:
        server.stop()
        with pytest.raises(
            Environment, match="floor cannot be stopped: the bench did not start it, or stopped it"
        ):
            server.stop()


def test_a_server_that_dies_at_its_start_is_quoted(base: Path) -> None:
    with (
        pytest.raises(Environment, match=r"script ended at its start \(1\): no such port$"),
        Server(script("raise SystemExit('no such port')"), base=base),
    ):
        pass


def test_processes_that_take_no_clients_are_missed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "START_SECONDS", 1.0)
    with (
        pytest.raises(Environment, match="floor with 2 processes was not ready in 1 s"),
        Server(replace(target.floor(), processes=2), base=base),
    ):
        pass


def test_a_server_that_dies_later_explains_the_error_that_it_caused(base: Path) -> None:
    with (
        pytest.raises(Environment, match=r"hung up; script ended by itself \(7\): .*out of luck"),
        Server(with_child(IGNORES), base=base) as server,
    ):
        child = int((server.directory / "child").read_text())
        asked(server.port, "/die")
        until(lambda: server.died != "", "the end of the server")
        raise Environment("hung up")
    ended(child)


def test_an_error_of_another_kind_stays_as_it_is(base: Path) -> None:
    with pytest.raises(ZeroDivisionError), Server(target.floor(), base=base) as server:
        assert server.died == ""
        raise ZeroDivisionError


def test_a_program_that_is_not_there_is_named(base: Path) -> None:
    with (
        pytest.raises(Environment, match="there is no program 'no-such-program': install it"),
        Server(Target("mine", ("no-such-program",)), base=base),
    ):
        pass


def test_what_is_missing_is_told_before_anything_is_started(base: Path) -> None:
    lacking = replace(target.floor(), needs=(Need("module", "no_such_module", "pip install it"),))
    with (
        pytest.raises(Environment, match="floor cannot run here, it lacks no_such_module: pip install it"),
        Server(lacking, base=base),
    ):
        pass


def outside(server: Server, *, port: int | None = None, pid: int | None = None) -> Target:
    """The same server as one that the bench did not start."""
    where = Outside(server.host, port or server.port, pid or server.pid)
    return Target("outside", (), ready_path="/ready", outside=where)


def test_a_server_that_runs_already_is_used_and_left_alone(base: Path) -> None:
    with Server(target.floor(), base=base) as server:
        with Server(outside(server), base=base) as used:
            assert (used.host, used.port, used.pid) == (server.host, server.port, server.pid)
            assert used.said() == "what it printed is not the bench's to read"
            with pytest.raises(Environment, match="outside cannot be stopped: the bench did not start it"):
                used.restart()
        assert alive(server.pid)


def test_a_wrong_pid_or_port_of_it_is_refused(base: Path) -> None:
    with subprocess.Popen(["true"]) as gone, Server(target.floor(), base=base) as server:
        gone.wait()
        with pytest.raises(Environment, match=f"there is no process {gone.pid}; write its pid into the file"):
            Server(outside(server, pid=gone.pid), base=base).__enter__()
        with pytest.raises(
            Environment, match=r"outside does not answer http://127\.0\.0\.1:1/ready with 200"
        ):
            Server(outside(server, port=1), base=base).__enter__()
