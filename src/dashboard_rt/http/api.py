"""The endpoints that only read: health, figures, settings, stored metrics, the newest dashboard (docs/protocol.md §5).

They answer from what other parts know and keep nothing. What changes something is in publish.py.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .. import __version__
from ..broker.base import Broker
from ..dashboard.collectors import Collectors
from ..dashboard.model import Dashboard
from ..errors import LogUnavailable, NotFound, Refused
from ..eventlog.log import EventLog
from ..hub.hub import Hub
from ..settings import DASHBOARD_STREAM, Settings
from ..telemetry import CONTENT_TYPE, Telemetry
from .debug_page import debug_page, prefers_html
from .pages import safe_prefix
from .responses import COMMON_HEADERS, Json
from .security import header, require_operator
from .stats import Stats
from .tickets import StreamAccess

LOG_SECONDS = 2.0  # how long /ready and /dashboard/debug wait for the log
FRESH_SECONDS = 1.0  # how long an answer is given to others who ask
METRICS_SHOWN = 100
MAX_METRICS_SHOWN = 1000

Endpoint = Callable[[Request], Awaitable[Response]]


class ReadEndpoints:
    """One method for each path."""

    def __init__(
        self,
        *,
        settings: Settings,
        telemetry: Telemetry,
        log: EventLog,
        broker: Broker,
        hub: Hub,
        dashboard: Dashboard,
        collectors: Collectors,
        stats: Stats,
        access: StreamAccess | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._log = log
        self._broker = broker
        self._hub = hub
        self._dashboard = dashboard
        self._collectors = collectors
        self._stats = stats
        self._access = access
        self._clock = clock
        self._snapshot: dict[str, object] = {}
        self._snapshot_until = 0.0
        self._log_answer: asyncio.Task[dict[str, Any]] | None = None
        self._log_answer_until = 0.0

    def routes(self) -> list[BaseRoute]:
        """Return the routes of this module. All are GET, and HEAD, which Starlette adds."""
        paths = {
            "/up": self.up,
            "/health": self.health,
            "/ready": self.ready,
            "/dashboard/time": self.server_time,
            "/metrics": self._for_operators(self.prometheus),
            "/dashboard/refresh": self._for_readers(self.refresh),
            "/dashboard/metrics": self._for_readers(self.metrics),
            "/dashboard/stats": self._for_operators(self.stats),
            "/dashboard/debug": self._for_operators(self.debug),
        }
        return [Route(path, endpoint, methods=["GET"]) for path, endpoint in paths.items()]

    def _for_operators(self, endpoint: Endpoint) -> Endpoint:
        """Return `endpoint` behind OPS_TOKEN; without one, for this machine alone."""
        token, on_loopback = self._settings.ops_token, self._settings.on_loopback

        async def guarded(request: Request) -> Response:
            require_operator(request.scope, token, on_loopback)
            return await endpoint(request)

        return guarded

    def _for_readers(self, endpoint: Endpoint) -> Endpoint:
        """Return `endpoint` behind a ticket for the dashboard's stream, where tickets are wanted."""
        access = self._access
        if access is None:
            return endpoint

        async def guarded(request: Request) -> Response:
            await access.admit(request.scope, DASHBOARD_STREAM)
            return await endpoint(request)

        return guarded

    async def up(self, request: Request) -> Response:
        """Answer at all: the process is alive, whatever else is away."""
        return Json({"status": "ok"})

    async def health(self, request: Request) -> Response:
        """Answer as `up`, with a sentence for each thing that is degraded: the page shows them.

        `by_settings` are those among them that last until somebody changes a setting.
        """
        by_settings = self._stats.by_settings()
        return Json(
            {"status": "ok", "degraded": [*self._degraded(), *by_settings], "by_settings": by_settings}
        )

    async def ready(self, request: Request) -> Response:
        """Answer 200 when the log can be read and is followed, the broker is connected and the jobs run, else 503."""
        log, degraded = await self._log_state(), self._degraded()
        checks = {
            "log": "error" not in log,
            "broker": self._broker.connected,
            "hub": not self._stats.degraded(),
        }
        if self._collectors.scheduled:
            checks["jobs"] = not self._collectors.overdue()
        ready = all(checks.values())
        sentences = [*degraded, *([log["error"]] if "error" in log else [])]
        detail = {"detail": " ".join(sentences)} if sentences else {}
        # Told, not checked: without Redis this process serves its clients as well as any other.
        ingest = {"ingest": state} if (state := self._stats.ingest_state) else {}
        body = {"status": "ok" if ready else "unavailable", **checks, **ingest, **detail}
        return Json(body, 200 if ready else 503)

    async def server_time(self, request: Request) -> Response:
        """Answer with this machine's time in Unix ms, from which a page tells how far its own clock is off."""
        return Json({"time_ms": round(time.time() * 1000, 1)})

    async def prometheus(self, request: Request) -> Response:
        """Answer with the counters of this process. Where there are several each sample names its process.

        Whoever scrapes their common port reaches any of them. Without the label that would look like one process
        whose counters fall and rise.
        """
        labels = {"pid": str(os.getpid())} if self._settings.web_concurrency > 1 else {}
        metrics = self._telemetry.render(**labels)
        return Response(metrics, headers={**COMMON_HEADERS, "content-type": CONTENT_TYPE})

    async def refresh(self, request: Request) -> Response:
        """Answer with the newest dashboard, `null` before the first, and the position to connect from."""
        if DASHBOARD_STREAM not in self._settings.streams:
            raise NotFound(f"STREAMS does not list {DASHBOARD_STREAM}.")
        # No await between the two: the position has to be that of this update.
        newest = self._hub.newest(DASHBOARD_STREAM)
        position = str(self._hub.position(DASHBOARD_STREAM))
        return Json(newest.text if newest else "null", headers={"x-stream-position": position})

    async def metrics(self, request: Request) -> Response:
        """Answer with the newest `?limit=` stored metrics, newest first."""
        limit = whole_parameter(request, "limit", METRICS_SHOWN, MAX_METRICS_SHOWN)
        return Json({"metrics": await self._dashboard.metrics(limit)})

    async def stats(self, request: Request) -> Response:
        return Json(self._recent_stats())

    async def debug(self, request: Request) -> Response:
        """Answer with the settings (secrets masked), the state of broker and log, all stats; browsers get a page."""
        settings = self._settings.masked()
        report = {
            "version": __version__,
            "settings": settings,
            "log": await self._log_state(),
            "broker": {"url": settings["BROKER_URL"], "connected": self._broker.connected},
            "degraded": [*self._degraded(), *self._stats.by_settings()],
            "stats": self._recent_stats(),
        }
        if prefers_html(header(request.scope["headers"], b"accept")):
            return debug_page(report, safe_prefix(request.scope))
        return Json(report, headers={"vary": "Accept"})

    def _degraded(self) -> list[str]:
        """Return what is degraded and will be mended."""
        deaf = ["Redis is away: messages of INGEST_CHANNEL are lost until it is back."]
        ingest = deaf if self._stats.ingest_state == "disconnected" else []
        return [*self._stats.degraded(), *self._collectors.overdue(), *ingest]

    def _recent_stats(self) -> dict[str, object]:
        """Return figures that are at most a second old: anybody may ask as often as he likes."""
        now = self._clock()
        if not self._snapshot or now >= self._snapshot_until:
            self._snapshot, self._snapshot_until = self._stats.snapshot(), now + FRESH_SECONDS
        return self._snapshot

    async def _log_state(self) -> dict[str, Any]:
        """Return what the log answered within the last second; however many ask, one question is on its way."""
        answer, now = self._log_answer, self._clock()
        if answer is None or (answer.done() and now >= self._log_answer_until):
            answer = self._log_answer = asyncio.ensure_future(self._ask_log())
            self._log_answer_until = now + FRESH_SECONDS
        return await asyncio.shield(answer)  # who leaves does not take it from the others

    async def _ask_log(self) -> dict[str, Any]:
        """Return epoch and bounds as JSON; only `error` when the log does not answer in time."""
        try:
            async with asyncio.timeout(LOG_SECONDS):
                epoch, streams = await self._log.state()
        except (LogUnavailable, TimeoutError) as error:
            self._telemetry.swallow("api.log_state", error)
            return {"error": str(error) or "The log did not answer in time."}
        return {"epoch": epoch, "streams": {name: bounds._asdict() for name, bounds in streams.items()}}


def whole_parameter(request: Request, name: str, default: int, most: int) -> int:
    """Return a parameter of the query, a whole number from 1 to `most`. Raises Refused for anything else."""
    text = request.query_params.get(name, str(default))
    # At most nine digits: int() of some thousand would raise an error of its own.
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise Refused(f"{name} must be a whole number from 1 to {most}.")
    return int(text)
