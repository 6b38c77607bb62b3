"""The listening socket and what `serve` hands to uvicorn."""

from __future__ import annotations

import asyncio
import errno
import pickle
import resource
import signal
import socket

import pytest
from uvicorn import Config

from dashboard_rt.errors import BadSetting
from dashboard_rt.server import serve
from dashboard_rt.settings import Settings
from tests import needs
from tests.simulation import VirtualLoop


def test_a_free_port() -> None:
    with serve.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert serve.url(listener) == f"http://127.0.0.1:{port}/"
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_accepted_sockets_have_small_buffers() -> None:
    with serve.listen("127.0.0.1", 0) as listener:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname(), timeout=5):
            accepted, _ = listener.accept()
            with accepted:
                size = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
                assert (
                    size <= 2 * serve.SEND_BUFFER
                )  # Linux doubles what it is given, for its own bookkeeping


def test_every_address_is_opened_as_this_machine() -> None:
    with serve.listen("0.0.0.0", 0) as listener:
        assert serve.url(listener).startswith("http://127.0.0.1:")


def test_both_families() -> None:
    needs.ipv6()
    with serve.listen("::", 0) as listener:
        port = listener.getsockname()[1]
        assert serve.url(listener) == f"http://[::1]:{port}/"
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_a_busy_port_is_explained() -> None:
    with serve.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(BadSetting, match=rf"Port {port} on 127.0.0.1 is in use: .* PORT={port + 1}"):
            serve.listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EADDRNOTAVAIL, "HOST 192.0.2.1 is no address of this machine"),
        (errno.EACCES, "Port 80 is for the system alone"),
        (errno.EMFILE, "Cannot listen on 192.0.2.1 port 80"),
    ],
)
def test_other_refusals_are_explained(number: int, sentence: str) -> None:
    assert str(serve.explain(OSError(number, "x"), "192.0.2.1", 80)).startswith(sentence)


def test_an_unknown_host_is_explained() -> None:
    error = socket.gaierror(socket.EAI_NONAME, "x")
    assert "HOST nowhere cannot be resolved" in str(serve.explain(error, "nowhere", 80))


def test_uvicorn_gets_our_protocols_by_name() -> None:
    config = serve.uvicorn_config(Settings.read({"WEB_CONCURRENCY": "2", "DRAIN_SECONDS": "1.5"}))
    assert (config.workers, config.factory, config.access_log) == (2, True, False)
    assert config.http == "dashboard_rt.server.handover:HttpProtocol"
    assert not config.ws_per_message_deflate and config.ws_max_size == 65536
    assert config.timeout_graceful_shutdown == 2 + serve.GRACE_SECONDS
    assert pickle.dumps(config), "its workers are spawned"


def test_the_file_limit_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, before[1]), before[1]))
        serve.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_signal_ends_it_at_once_though_it_looks_after_itself_once_a_second() -> None:
    async def work() -> tuple[list[int], float]:
        server = serve.QuietServer(Config(lambda: None, log_config=None, lifespan="off"))
        server.config.load()
        looks: list[int] = []
        real = server.on_tick

        async def on_tick(counter: int) -> bool:
            looks.append(counter)
            return await real(counter)

        server.on_tick = on_tick  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()
        running = loop.create_task(server.main_loop())
        await asyncio.sleep(3.5)
        server.handle_exit(signal.SIGTERM, None)
        await running
        return looks, loop.time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(work()) == ([0, 0, 0, 0, 0], 3.5)


def test_a_signal_before_the_start_is_heard_too() -> None:
    server = serve.QuietServer(Config(lambda: None, log_config=None, lifespan="off"))
    server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit
