"""create_app: the only place that knows all the parts, and the order in which they start and stop."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route, WebSocketRoute

from .api import routes
from .audience import Audience
from .broker import Broker
from .cable import CableEndpoint
from .dashboard import Dashboard
from .db import Database
from .departure import Departure
from .eventlog import EventLog
from .follower import Follower
from .handover import COMPRESS
from .hub import Hub
from .jobs import Jobs
from .live import Live
from .publisher import Publisher
from .publishing import PublishEndpoint
from .replies import exception_handlers
from .settings import Settings
from .shortcut import Shortcut
from .sse import StreamEndpoint
from .telemetry import Telemetry


@dataclass(frozen=True)
class Parts:
    """Everything an app is made of. `hub` is its face towards the endpoints."""

    settings: Settings
    telemetry: Telemetry
    db: Database
    log: EventLog
    broker: Broker
    publisher: Publisher
    follower: Follower
    audience: Audience
    hub: Live
    dashboard: Dashboard
    jobs: Jobs


def build(settings: Settings) -> Parts:
    """Make the parts; nothing is opened yet."""
    telemetry = Telemetry()
    db = Database(settings.database_url)
    log = EventLog(db, settings.streams)
    broker = Broker(settings.broker_url, telemetry)
    publisher = Publisher(log, broker, settings, telemetry)
    hub = Hub(log, settings, telemetry)
    follower = Follower(log, hub, settings, telemetry)
    audience = Audience(hub, settings, telemetry)
    live = Live(hub, audience, follower, broker, telemetry)
    dashboard = Dashboard(db, settings.keep_records)
    jobs = Jobs(db, dashboard, publisher, telemetry, live.lag_ms)
    return Parts(settings, telemetry, db, log, broker, publisher, follower, audience, live, dashboard, jobs)


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[None]:
    """Start the parts; stop them in reverse. The goodbyes come first, while everything still works."""
    async with AsyncExitStack() as stack:
        await parts.db.connect()
        stack.push_async_callback(parts.db.disconnect)
        await parts.log.open()
        await parts.broker.start()
        stack.push_async_callback(parts.broker.stop)
        await parts.publisher.start()
        stack.push_async_callback(parts.publisher.stop)
        await parts.follower.start()
        stack.push_async_callback(parts.follower.stop)
        parts.broker.listen(parts.follower.heard)
        parts.audience.start()
        stack.callback(parts.audience.stop)
        if parts.settings.jobs_inline:
            parts.jobs.start()
            stack.push_async_callback(parts.jobs.stop)
        departure = Departure(parts.audience)
        departure.watch()
        stack.callback(departure.unwatch)
        stack.push_async_callback(parts.audience.drain)
        settle_the_collector()
        yield


def settle_the_collector() -> None:
    """Long-lived connections by the thousand are no garbage, and nothing of theirs is in a cycle.

    Left at its defaults the collector walks through all of them for every few that come: a tenth of the cost of
    a connect, and pauses that grow with the audience.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def create_app(settings: Settings | None = None) -> Starlette:
    """The ASGI app, on `settings` or on the environment. Raises BadSetting."""
    parts = build(Settings.read(os.environ) if settings is None else settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, bool]]:
        async with running(parts):
            yield {COMPRESS: parts.settings.ws_compression}

    busy: list[Route | WebSocketRoute] = [
        Route("/dashboard/stream", StreamEndpoint(parts.audience, parts.settings, parts.telemetry)),
        WebSocketRoute("/cable", CableEndpoint(parts.audience, parts.settings, parts.telemetry)),
        Route(
            "/streams/{stream}",
            PublishEndpoint(parts.publisher, parts.settings.publish_token),
            methods=["POST"],
        ),
    ]
    app = Starlette(
        routes=[*busy, *routes(parts)],
        middleware=[Middleware(Shortcut, busy)],
        lifespan=lifespan,
        exception_handlers=dict(exception_handlers),
    )
    app.state.parts = parts
    return app
