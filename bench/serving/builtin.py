"""The targets that need no file: this app, and the floor that every row is divided by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from bench.load.wire import TRANSPORTS
from bench.serving import services
from bench.serving.broadcast import STREAM, TOKEN
from bench.serving.target_type import Deflate, Target

FLOOR = Path(__file__).parents[1] / "targets" / "floor.py"
SHARED = ("redis", "postgres")


def app() -> Target:
    """dashboard-rt on its embedded defaults: SQLite on disk, the broker in the process, no jobs."""
    return Target(
        name="app",
        command=(sys.executable, "-m", "dashboard_rt", "serve"),
        environment={
            "HOST": "127.0.0.1",
            "PORT": "{port}",
            "DATABASE_URL": "sqlite:///{directory}/bench.db",
            "JOBS": "off",
            "WEB_CONCURRENCY": "1",
            "PUBLISH_TOKEN": TOKEN,
            "STREAMS": STREAM + ":{kind}",
            "DRAIN_SECONDS": "1",
            "LOG_LEVEL": "warning",
        },
        transports=TRANSPORTS,
        deflate=Deflate({"WS_COMPRESSION": "on"}),
        resumes=True,
        keeps_state=True,
        loop_lag_metric="dashboard_rt_loop_lag_seconds",
        about="this app on its defaults, connections handed over",
    )


def floor(joined: bool = False) -> Target:
    """The floor; with `joined` all messages of one publish in one write per client."""
    command = (sys.executable, str(FLOOR), "--port", "{port}", "--kind", "{kind}")
    return Target(
        name="floor-joined" if joined else "floor",
        command=(*command, "--joined") if joined else command,
        keeps_state=True,
        about=f"one pre-encoded write per client and {'publish' if joined else 'message'}, nothing else",
    )


def with_settings(target: Target, name: str, **environment: str) -> Target:
    """A variant of a target under another name."""
    return replace(target, name=name, environment={**target.environment, **environment})


def app_plain() -> Target:
    """The app without the handover."""
    plain = with_settings(app(), "app-plain", HANDOVER="off")
    return replace(plain, about="this app without the handover, plain ASGI from end to end")


def app_shared(processes: int) -> Target:
    """The app as it is deployed: PostgreSQL on disk, Redis as the broker, and so many processes behind one port."""
    two = processes > 1
    settings = {
        "DATABASE_URL": "{postgres_url}",
        "REDIS_URL": "{redis_url}",
        "WEB_CONCURRENCY": str(processes),
    }
    shared = with_settings(app(), f"app-redis-postgres{'' if two else '-one'}", **settings)
    return replace(
        shared,
        services=SHARED,
        needs=services.needs(SHARED),
        processes=processes,
        about=f"this app over PostgreSQL and Redis, {'two processes' if two else 'one process'}",
    )


BUILT_IN: Mapping[str, Callable[[], Target]] = {
    "app": app,
    "app-plain": app_plain,
    "app-redis-postgres": lambda: app_shared(2),
    "app-redis-postgres-one": lambda: app_shared(1),
    "floor": floor,
    "floor-joined": lambda: floor(joined=True),
}
