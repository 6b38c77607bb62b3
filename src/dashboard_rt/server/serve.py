"""`dashboard-rt serve`: uvicorn with our protocol classes, on a listening socket that is bound here.

Bound here because accepted sockets inherit their buffer sizes from the listener, and because a port in use deserves
a sentence that says what to do.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ..errors import BadSetting
from ..hub.timer import next_tick
from ..logconfig import log_config
from ..settings import Settings

SEND_BUFFER = 65536  # bytes; otherwise Linux grows the buffer of a stuck reader to megabytes
BACKLOG = 4096
GRACE_SECONDS = 5  # behind DRAIN_SECONDS, for what does not end by itself


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status. Raises BadSetting."""
    listener = listen(settings.host, settings.port)
    print(f"The dashboard is at {url(listener)} (Ctrl-C stops it)", flush=True)
    config = uvicorn_config(settings)
    if settings.web_concurrency > 1:
        supervisor = Multiprocess(config, sockets=[listener])
        supervisor.run()
        return int(any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes))
    return _serve_here(QuietServer(config), listener)


class QuietServer(Server):
    """uvicorn's server, but its main loop ticks once a second instead of ten times, and stops at once on a signal.

    The ticks share the wake-ups of our timers: wake-ups are nearly all that an idle process costs.
    """

    _loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Tick until it is time to stop. uvicorn counts ticks, and does its work at each whole tenth one: always 0."""
        self._loop = loop = asyncio.get_running_loop()
        self._signalled = asyncio.Event()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_tick(loop.time(), 1)):
                    await self._signalled.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signalled.set)


def _serve_here(server: Server, listener: socket.socket) -> int:
    def stop(number: int, frame: FrameType | None) -> None:
        # uvicorn raises the signal again once it has shut down well: the status has to be 0 then, not -15.
        if not server.started:
            raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])
    return 0 if server.started else 1


def uvicorn_config(settings: Settings) -> Config:
    """Return how uvicorn runs the app: everything by name, so that it can spawn workers."""
    return Config(
        "dashboard_rt.app:create_served_app",
        factory=True,
        loop="uvloop",
        http="dashboard_rt.server.handover:HttpProtocol",
        ws="dashboard_rt.server.handover:WebSocketProtocol",
        ws_max_size=65536,
        ws_ping_interval=20,
        ws_per_message_deflate=settings.ws_compression,
        lifespan="on",
        log_config=log_config(settings),
        access_log=False,
        workers=settings.web_concurrency,
        server_header=False,
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        backlog=BACKLOG,
        timeout_keep_alive=95,  # above that of Heroku's router, or it sends requests on connections just closed
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds) + GRACE_SECONDS,
    )


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one: each connection is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:  # macOS refuses some: MAX_CLIENTS follows the soft limit
            print(f"The limit of open files stays at {soft}: {error}", file=sys.stderr)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises BadSetting, which says what to do."""
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            _bind(listener, host, address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise explain(error, host, port) from None
    return listener


def _bind(listener: socket.socket, host: str, address: tuple[object, ...]) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if listener.family == socket.AF_INET6 and host == "::":
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # `::` means IPv4 too
    listener.bind(address)
    listener.listen(BACKLOG)
    listener.setblocking(False)


def explain(error: OSError, host: str, port: int) -> BadSetting:
    """Turn the system's error into a sentence that says what to do."""
    if isinstance(error, socket.gaierror):
        return BadSetting(
            f"HOST {host} cannot be resolved: give an address of this machine, such as 127.0.0.1."
        )
    if error.errno == errno.EADDRINUSE:
        return BadSetting(
            f"Port {port} on {host} is in use: stop what uses it, or choose another: PORT={port + 1} make run"
        )
    if error.errno == errno.EACCES:
        return BadSetting(f"Port {port} is for the system alone: choose a PORT above 1023.")
    if error.errno == errno.EADDRNOTAVAIL:
        return BadSetting(f"HOST {host} is no address of this machine: 0.0.0.0 is every one it has.")
    return BadSetting(f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}.")


def url(listener: socket.socket) -> str:
    """Return the address to open in a browser on this machine."""
    host, port = listener.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"
