"""How processes end: by a second Ctrl-C at once, beside clients that hang, and when the supervisor was killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]
import pytest

from tests.live.conftest import Servers
from tests.live.followers import TRANSPORTS, Follower, follow
from tests.live.server import Server
from tests.live.wire import ask, until
from tests.patience import HANG_LIMIT

IMPATIENT = 130
FIRST = [signal.SIGINT, signal.SIGTERM]


@contextlib.contextmanager
def stuck_clients(server: Server) -> Iterator[list[Follower]]:
    """Clients that take nothing: a drain waits for them, up to its deadline."""
    clients = [follow(transport, server.address, "log0", rcvbuf=4096) for transport in TRANSPORTS]
    for n in range(30):
        server.publish("log0", {"n": n, "pad": "x" * 60_000})
    yield clients
    for client in clients:
        client.drop()


def hears_goodbye(server: Server, sig: signal.Signals) -> None:
    """Send a signal and wait until the drain has begun."""
    with follow("sse", server.address, "log1") as client:
        server.end(sig)
        assert client.goodbye().reason == "server_restart"


@pytest.mark.parametrize("first", FIRST, ids=lambda sig: sig.name)
def test_a_ctrl_c_behind_another_signal_ends_it_at_once(
    first: signal.Signals, servers: Servers, handover: str
) -> None:
    with (
        servers.new(HANDOVER=handover, DRAIN_SECONDS="60", SEND_TIMEOUT="60") as server,
        stuck_clients(server),
    ):
        hears_goodbye(server, first)
        server.end(signal.SIGINT)
        assert server.wait() == IMPATIENT


def refused(server: Server) -> bool:
    """Whether a new connection is refused. One that nobody accepts is not, nor is one that is reset."""
    try:
        server.address.connect().close()
    except ConnectionResetError:  # it came as the listener was closed
        return False
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_newcomers_are_refused_while_others_are_waited_for(
    workers: str, servers: Servers, handover: str
) -> None:
    env = {"WEB_CONCURRENCY": workers, "DRAIN_SECONDS": "60", "SEND_TIMEOUT": "60"}
    with servers.new(env, HANDOVER=handover) as server, stuck_clients(server) as stuck:
        server.end()
        until(lambda: refused(server), "connections are refused")
        assert {client.port for client in stuck} <= server.peers(), "the stuck ones are still waited for"
        server.end(signal.SIGINT)
        server.wait()


def test_clients_that_hang_before_the_handover_do_not_delay_the_exit(servers: Servers, handover: str) -> None:
    """Half a body; a response that nobody reads; half of each, pipelined."""
    with servers.new(HANDOVER=handover, DRAIN_SECONDS="600") as server:
        server.count("log0", 0, 200)
        post = b"POST /streams/log0 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12"
        get = b"GET /static/page.js HTTP/1.1\r\nhost: x\r\n\r\n"
        hanging = [server.address.connect(4096) for _ in range(3)]
        for sock, request in zip(hanging, (post, 200 * get, 200 * get + post), strict=True):
            sock.sendall(request)
        with follow("sse", server.address, "log0") as client:
            server.end()
            assert client.goodbye().reason == "server_restart", "they do not delay the goodbyes either"
        assert server.wait(HANG_LIMIT) == 0
        for sock in hanging:
            sock.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_however_many_sigterms_it_ends_with_status_0(servers: Servers, workers: str) -> None:
    """Until there is no process that could be sent another one."""
    with servers.new(WEB_CONCURRENCY=workers) as server:
        assert server.process is not None
        while server.process.poll() is None:
            server.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(0.005)
        assert server.process.returncode == 0


# ---- several processes


@contextlib.contextmanager
def two_workers(servers: Servers, **env: str) -> Iterator[tuple[Server, list[psutil.Process]]]:
    """A server with a supervisor, and the processes below it."""
    with servers.new(env, WEB_CONCURRENCY="2") as server:
        workers = psutil.Process(server.pid).children(recursive=True)
        try:
            yield server, workers
        finally:
            for worker in workers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_workers_end_with_goodbyes_when_the_supervisor_was_killed(servers: Servers) -> None:
    with two_workers(servers) as (server, workers):
        clients = [follow("sse", server.address, "log0") for _ in range(6)]
        assert server.process is not None
        server.process.kill()
        for client in clients:
            assert client.goodbye().reason == "server_restart"
        until(lambda: gone(workers), "no process is left")
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((server.address.host, server.address.port))  # the port is free


def test_sigterm_to_all_processes_more_than_once_is_one_goodbye_each(servers: Servers) -> None:
    """As Heroku stops a dyno."""
    with two_workers(servers) as (server, workers):
        clients = [follow(transport, server.address, "log1") for transport in TRANSPORTS * 4]
        for _ in range(3):
            for pid in [server.pid, *(worker.pid for worker in workers)]:
                os.kill(pid, signal.SIGTERM)
        for client in clients:
            assert client.goodbye().reason == "server_restart"
        assert server.wait() == 0
        assert re.findall(
            r"(\d+) of \1 clients were told .*, 0 of them did not answer; 0 were cut", server.output()
        )


@pytest.mark.parametrize("whole_group", [True, False])
def test_a_second_ctrl_c_ends_all_processes_at_once(servers: Servers, whole_group: bool) -> None:
    """From a terminal, which sends it to the whole group, and from a container's, which sends it to the first."""
    with two_workers(servers, DRAIN_SECONDS="60", SEND_TIMEOUT="60") as (server, workers):

        def ctrl_c() -> None:
            for pid in [server.pid, *(worker.pid for worker in workers if whole_group)]:
                os.kill(pid, signal.SIGINT)

        with stuck_clients(server), follow("sse", server.address, "log1") as client:
            ctrl_c()
            assert client.goodbye().reason == "server_restart"
            ctrl_c()
            assert server.wait() == IMPATIENT
        until(lambda: gone(workers), "no process is left")


def served_by(processes: list[psutil.Process]) -> list[psutil.Process]:
    """The workers among the processes below a supervisor, the first one first."""
    workers = [it for it in processes if "spawn_main" in " ".join(it.cmdline())]
    return sorted(workers, key=lambda worker: worker.create_time())


def replaced(server: Server, workers: list[psutil.Process]) -> bool:
    """Whether a worker that is not among `workers` serves."""
    old = {worker.pid for worker in workers}
    return ask(server.address, "GET", "/dashboard/stats").json()["process"]["pid"] not in old


@pytest.mark.slow
@pytest.mark.parametrize(("last", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, IMPATIENT)])
def test_signals_are_heard_while_workers_are_replaced(
    last: signal.Signals, status: int, servers: Servers
) -> None:
    """The first worker does not end when it is told to: its drain might last as long."""
    with two_workers(servers, DRAIN_SECONDS="60") as (server, processes):
        first, second = served_by(processes)
        server.end(signal.SIGHUP)
        first.suspend()
        until(lambda: replaced(server, processes), "a successor serves")
        server.end(last)
        until(lambda: gone([second]), "the second worker was told to stop, too")
        if last == signal.SIGTERM:
            first.resume()
        else:
            server.end(signal.SIGINT)
        assert server.wait() == status
        until(lambda: gone(processes), "no process is left")


@pytest.mark.slow
def test_a_worker_that_stands_still_is_killed_behind_the_drain(servers: Servers) -> None:
    with two_workers(servers, DRAIN_SECONDS="0") as (server, workers):
        served_by(workers)[0].suspend()
        server.end()
        assert server.wait(60) == 1
        assert "does not end: it is killed" in server.output()
        until(lambda: gone(workers), "no process is left")


def test_a_ctrl_c_while_workers_start_is_no_traceback(servers: Servers) -> None:
    server = servers.new(WEB_CONCURRENCY="2")
    with server.log.open("ab") as log:
        server.process = subprocess.Popen(
            server.command, cwd=server.directory, env=server.env, stdout=log, stderr=log
        )
    with server.process:
        children = until(lambda: psutil.Process(server.pid).children(recursive=True), "a worker begins")
        for pid in [server.pid, *(child.pid for child in children)]:
            os.kill(pid, signal.SIGINT)
        assert server.wait() == 0
    server.check_log()
