"""The HTTP endpoints of protocol §5, except the two streams: snapshots, records, figures, health.

Each endpoint answers from what the parts say; nothing is kept here, and a GET changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from . import __version__
from .broker import Broker
from .dashboard import Dashboard
from .errors import LogUnavailable, NotFound
from .eventlog import EventLog
from .jobs import Jobs
from .pages import WEB, Heads, page_routes
from .probe import resident_bytes
from .replies import COMMON, Json
from .settings import DASHBOARD_STREAM, Settings
from .telemetry import CONTENT_TYPE, Telemetry
from .triggers import Triggers, whole_parameter
from .types import Transport, Verdict

LOG_PATIENCE = 2.0  # seconds for the log to answer a question about health
METRICS_SHOWN = 100


class Live(Heads, Protocol):
    """What is asked of the hub."""

    @property
    def ready(self) -> bool:
        """Whether it follows the log and hears the broker."""

    def stats(self) -> Mapping[str, object]:
        """Connections, deliveries, lag and buffers, per transport."""


class Parts(Protocol):
    """What the endpoints are made of."""

    @property
    def settings(self) -> Settings:
        """Every variable."""

    @property
    def telemetry(self) -> Telemetry:
        """Every counter."""

    @property
    def log(self) -> EventLog:
        """The truth."""

    @property
    def broker(self) -> Broker:
        """The bell."""

    @property
    def hub(self) -> Live:
        """Follows the log."""

    @property
    def dashboard(self) -> Dashboard:
        """The records."""

    @property
    def jobs(self) -> Jobs:
        """The collectors."""


def routes(parts: Parts, web: Path = WEB) -> list[BaseRoute]:
    """Every route that is not busy."""
    return [
        *Endpoints(parts).routes(),
        *Triggers(parts.jobs, parts.settings).routes(),
        *page_routes(parts.settings, parts.hub, web),
    ]


class Endpoints:
    """The reading endpoints."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started = time.monotonic()

    def routes(self) -> list[BaseRoute]:
        """GET only (and HEAD, which Starlette adds)."""
        return [
            Route("/up", self.up, methods=["GET"]),
            Route("/health", self.up, methods=["GET"]),
            Route("/ready", self.ready, methods=["GET"]),
            Route("/metrics", self.prometheus, methods=["GET"]),
            Route("/dashboard/refresh", self.refresh, methods=["GET"]),
            Route("/dashboard/metrics", self.metrics, methods=["GET"]),
            Route("/dashboard/stats", self.stats, methods=["GET"]),
            Route("/dashboard/debug", self.debug, methods=["GET"]),
        ]

    async def up(self, request: Request) -> Response:
        """The process is alive."""
        return Json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """200 when the log can be read and the broker is heard, else 503."""
        log = "error" not in await self._log_state()
        heard, follows = self._parts.broker.heard, self._parts.hub.ready
        good = log and heard and follows
        answer = {"status": "ok" if good else "unavailable", "log": log, "broker": heard, "hub": follows}
        return Json(answer, 200 if good else 503)

    async def prometheus(self, request: Request) -> Response:
        """Prometheus's text form."""
        return Response(self._parts.telemetry.render(), headers={**COMMON, "content-type": CONTENT_TYPE})

    async def refresh(self, request: Request) -> Response:
        """The newest dashboard (null before the first), and the position to connect from."""
        hub = self._parts.hub
        if DASHBOARD_STREAM not in self._parts.settings.streams:
            raise NotFound(f"STREAMS does not list {DASHBOARD_STREAM}.")
        newest = hub.newest(DASHBOARD_STREAM)
        position = str(hub.position(DASHBOARD_STREAM))
        return Json(newest.text if newest else "null", headers={"x-stream-position": position})

    async def metrics(self, request: Request) -> Response:
        """The newest `?limit=` stored readings, newest first."""
        limit = whole_parameter(request, "limit", METRICS_SHOWN, self._parts.settings.keep_records)
        return Json({"metrics": await self._parts.dashboard.metrics(limit)})

    async def stats(self, request: Request) -> Response:
        """Connections, deliveries, lag, buffers; how clients came (back), per transport."""
        return Json({"process": self._process(), "verdicts": self._verdicts(), **self._parts.hub.stats()})

    async def debug(self, request: Request) -> Response:
        """Settings (secrets masked), broker and log state, and all of the stats."""
        parts = self._parts
        return Json(
            {
                "version": __version__,
                "settings": parts.settings.shown(),
                "log": await self._log_state(),
                "broker": {"url": parts.settings.shown()["BROKER_URL"], "heard": parts.broker.heard},
                "ready": parts.hub.ready,
                "stats": {"process": self._process(), "verdicts": self._verdicts(), **parts.hub.stats()},
            }
        )

    async def _log_state(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(LOG_PATIENCE):
                epoch, streams = await self._parts.log.state()
        except (LogUnavailable, TimeoutError) as error:
            self._parts.telemetry.swallow("api.log_state", error)
            return {"error": str(error) or "The log did not answer in time."}
        return {"epoch": epoch, "streams": {name: bounds._asdict() for name, bounds in streams.items()}}

    def _process(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "python": sys.version.split()[0],
            "uptime_seconds": round(time.monotonic() - self._started, 1),
            "rss_bytes": resident_bytes(),
        }

    def _verdicts(self) -> dict[str, dict[str, int]]:
        value = self._parts.telemetry.value
        return {
            transport: {
                verdict: int(value("opened", transport=transport, verdict=verdict)) for verdict in Verdict
            }
            for transport in Transport
        }
