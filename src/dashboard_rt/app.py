"""The assembly: which transports and brokers there are, what the app is made of, in which order it starts and stops.

The only module that knows all the parts.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from .broker.base import Broker, OnGap, OnNotification
from .broker.memory import MemoryBroker
from .broker.postgres import postgres_broker
from .broker.redis import redis_broker
from .budget import log_budgets
from .dashboard.collectors import Collectors
from .dashboard.model import Dashboard
from .errors import BadSetting, LogUnavailable
from .eventlog.database import Database
from .eventlog.lease import Lease
from .eventlog.log import EventLog
from .eventlog.postgres import PostgresDatabase
from .eventlog.publisher import Publisher
from .eventlog.sqlite import SqliteDatabase
from .http import issue, pages, publish
from .http.api import ReadEndpoints
from .http.https import HttpsOnly
from .http.responses import counting_handlers
from .http.security import Gate, LifespanState
from .http.stats import Stats, slow_settings
from .http.tickets import StreamAccess, TicketSigner
from .http.used_tickets import UsedTickets
from .hub.connections import Connections
from .hub.follower import Follower
from .hub.hub import Hub
from .ingest.ingest import Ingest
from .ingest.redis_channel import RedisChannel
from .logconfig import mask_tickets
from .server.forwarded import ForwardedHeaders
from .server.handover import COMPRESS
from .server.limits import LIMITS, REASONS, ServerLimits, connection_limit
from .server.shutdown import Shutdown, on_stop_signals
from .settings import DASHBOARD_STREAM, Settings
from .telemetry import Telemetry
from .transports import sse
from .transports.cable import endpoint as cable
from .transports.connection import Transport
from .types import Notification
from .urls import is_postgres

logger = logging.getLogger(__name__)

START_SECONDS = 30.0  # how long a start waits for a database that is lost, or locked, behind the connect
START_PAUSE = 1.0
TRANSPORTS: tuple[Transport, ...] = (sse.TRANSPORT, cable.TRANSPORT)
# By the scheme of BROKER_URL.
BROKERS: Mapping[str, Callable[[Settings, Telemetry], Broker]] = {
    "memory": lambda _, telemetry: MemoryBroker(telemetry),
    "redis": redis_broker,
    "rediss": redis_broker,
    "postgres": postgres_broker,
}


@dataclass(frozen=True)
class PublishingParts:
    """What it takes to publish, without serving."""

    settings: Settings
    telemetry: Telemetry
    db: Database
    log: EventLog
    broker: Broker
    publisher: Publisher

    @classmethod
    def build(cls, settings: Settings, labels: Sequence[str] = ()) -> PublishingParts:
        """Make the parts; nothing is opened yet. `labels` are those of the transports."""
        telemetry = Telemetry(labels)
        db = make_database(settings, telemetry)
        log = EventLog(db, settings.streams)
        broker = BROKERS[settings.broker_url.partition(":")[0]](settings, telemetry)
        return cls(settings, telemetry, db, log, broker, Publisher(log, broker, settings, telemetry))


def make_database(settings: Settings, telemetry: Telemetry) -> Database:
    """Return the database that DATABASE_URL names; nothing is opened yet."""
    if is_postgres(settings.database_url):
        return PostgresDatabase(settings.database_url, settings.database_ssl, telemetry)
    return SqliteDatabase(settings.database_url)


def build_ingest(parts: PublishingParts) -> Ingest | None:
    """Make the part that reads INGEST_CHANNEL; None when that is not set."""
    settings = parts.settings
    if settings.ingest_channel is None or settings.redis_url is None:
        return None
    channel = RedisChannel(settings.redis_url, settings.ingest_channel, verify_tls=settings.redis_tls_verify)
    lease = Lease(parts.db, f"ingest:{settings.ingest_channel}")
    return Ingest(channel, lease, parts.publisher, settings.ingest_stream, parts.telemetry)


@dataclass(frozen=True)
class Parts(PublishingParts):
    """What the web app is made of. Embedders find it at `app.state.parts`."""

    follower: Follower
    hub: Hub
    connections: Connections
    dashboard: Dashboard
    collectors: Collectors
    ingest: Ingest | None
    lifespan: LifespanState
    access: StreamAccess | None  # without STREAM_AUTH_SECRET there is none, and all may read

    @classmethod
    def assemble(cls, settings: Settings, transports: Sequence[Transport]) -> Parts:
        """Make the parts; nothing is opened yet."""
        base = PublishingParts.build(settings, [transport.label for transport in transports])
        follower = Follower(base.log, settings, base.telemetry)
        hub = Hub(base.log, follower.refresh, settings, base.telemetry)
        heartbeats = {transport.label: transport.heartbeat(settings) for transport in transports}
        connections = Connections(hub, heartbeats, settings, base.telemetry)
        dashboard = Dashboard(base.db, settings.keep_records)
        collectors = Collectors(base.db, dashboard, base.publisher, base.telemetry, lambda: follower.lag_ms)
        return cls(
            **vars(base),
            follower=follower,
            hub=hub,
            connections=connections,
            dashboard=dashboard,
            collectors=collectors,
            ingest=build_ingest(base),
            lifespan=LifespanState(),
            access=_stream_access(base),
        )


def _stream_access(parts: PublishingParts) -> StreamAccess | None:
    secret = parts.settings.stream_auth_secret
    if secret is None:
        return None
    mask_tickets()
    return StreamAccess(TicketSigner(secret), UsedTickets(parts.db, parts.telemetry), parts.telemetry)


# ---- starting and stopping


async def _start_log(stack: AsyncExitStack, parts: PublishingParts) -> None:
    await parts.db.connect()
    stack.push_async_callback(parts.db.disconnect)
    await _patiently(parts.log.open)


async def _patiently(start: Callable[[], Awaitable[None]]) -> None:
    """Run a step of the start, again for START_SECONDS while the database is lost or locked. Raises LogUnavailable.

    A process that ended itself would take the other workers of its supervisor with it.
    """
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while True:
        try:
            return await start()
        except LogUnavailable as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            logger.warning("The start waits for the database: %s", error.detail)
        await asyncio.sleep(START_PAUSE)


async def _start_publisher(
    stack: AsyncExitStack, parts: PublishingParts, on_notification: OnNotification, on_gap: OnGap
) -> None:
    stack.push_async_callback(parts.broker.stop)
    await parts.broker.start(on_notification, on_gap)
    await parts.publisher.start()
    stack.push_async_callback(parts.publisher.stop)


def _start_ingest(stack: AsyncExitStack, ingest: Ingest | None) -> None:
    if ingest is not None:
        ingest.start()
        stack.push_async_callback(ingest.stop)


@asynccontextmanager
async def serving(parts: Parts) -> AsyncIterator[None]:
    """Start the parts, and stop them in reverse. The goodbyes come first, while everything still works."""
    async with AsyncExitStack() as stack:
        stack.callback(parts.lifespan.end)
        await _start_log(stack, parts)
        await _patiently(partial(parts.follower.start, parts.hub))
        stack.push_async_callback(parts.follower.stop)
        await _start_publisher(stack, parts, parts.follower.on_notification, parts.follower.on_gap)
        _start_ingest(stack, parts.ingest)
        parts.connections.start()
        stack.callback(parts.connections.stop)
        if parts.settings.jobs_inline:
            parts.collectors.start()
            stack.push_async_callback(parts.collectors.stop)
        shutdown = Shutdown(parts.connections)
        shutdown.install()
        stack.callback(shutdown.finish)
        stack.push_async_callback(parts.connections.drain)
        parts.lifespan.begin()
        yield


@asynccontextmanager
async def publishing(settings: Settings) -> AsyncIterator[PublishingParts]:
    """Start what it takes to publish; at the end what is queued is written first."""
    parts = PublishingParts.build(settings)
    async with AsyncExitStack() as stack:
        await _start_log(stack, parts)
        await _start_publisher(stack, parts, _ignore, _ignore)
        yield parts


def _ignore(*_: Notification) -> None:
    """Take a notification, or a gap, where nobody is connected."""


# ---- what can be run


def create_app(settings: Settings | None = None, transports: Sequence[Transport] = TRANSPORTS) -> Starlette:
    """Return the ASGI app, on `settings` or on the environment. Raises BadSetting."""
    settings = Settings.read(os.environ) if settings is None else settings
    parts = Parts.assemble(settings, transports)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
        async with serving(parts):
            yield {COMPRESS: settings.ws_compression, LIMITS: server_limits(settings, parts.telemetry)}

    app = Starlette(
        # The transports and the publishing first: the router tries its routes in order.
        routes=[
            *(
                transport.route(parts.connections, settings, parts.telemetry, parts.access)
                for transport in transports
            ),
            *publish.routes(parts.publisher, parts.collectors, settings),
            *issue.routes(parts.access, settings),
            *_reading_endpoints(parts).routes(),
            *pages.routes(settings, parts.hub),
        ],
        lifespan=lifespan,
        middleware=[
            Middleware(Gate, settings, parts.telemetry, parts.lifespan),
            *([Middleware(HttpsOnly)] if settings.force_https else []),
        ],
        exception_handlers=counting_handlers(parts.telemetry),
    )
    app.router.redirect_slashes = False  # the gate's business
    app.state.parts = parts
    return app


def _reading_endpoints(parts: Parts) -> ReadEndpoints:
    return ReadEndpoints(
        settings=parts.settings,
        telemetry=parts.telemetry,
        log=parts.log,
        broker=parts.broker,
        hub=parts.hub,
        dashboard=parts.dashboard,
        collectors=parts.collectors,
        stats=Stats(
            hub=parts.hub,
            connections=parts.connections,
            follower=parts.follower,
            broker=parts.broker,
            settings=parts.settings,
            telemetry=parts.telemetry,
            ingest=parts.ingest.figures if parts.ingest is not None else None,
        ),
        access=parts.access,
    )


def server_limits(settings: Settings, telemetry: Telemetry) -> ServerLimits:
    """Return what our server grants to peers, and where it counts whom it refused."""
    for reason in REASONS:
        telemetry.server_refusals.labels(reason)
    return ServerLimits(
        timeout=settings.send_timeout,
        connections=connection_limit(settings.max_clients),
        open_streams=lambda label: telemetry.connections.labels(label).value,
        count=lambda reason: telemetry.server_refusals.labels(reason).inc(),
    )


def create_served_app() -> ASGIApp:
    """Return the app for a process of its own: what `dashboard-rt serve` gives to uvicorn, by name."""
    tune_garbage_collector()
    settings = Settings.read(os.environ)
    return ForwardedHeaders(create_app(settings), settings.forwarded_allow_ips)


def tune_garbage_collector() -> None:
    """Keep the collector from walking through connections again and again. For processes of ours only.

    Connections live long, come by the thousand and are in no reference cycle. At its defaults the collector walks
    through all of them for every few that come: a tenth of the cost of a connect, and pauses that grow with them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


async def prepare_start(settings: Settings, processes: int) -> None:
    """Bring the database up to date, and log what the settings make slow or what the services do not permit.

    Done once for all `processes` of a start, before they start. Raises BadSetting, LogUnavailable.
    """
    slow = slow_settings(settings)
    if slow is not None:
        logger.warning("%s", slow)
    async with AsyncExitStack() as stack:
        parts = PublishingParts.build(settings)
        await _start_log(stack, parts)
        await log_budgets(settings, processes, parts.db)


async def run_worker(settings: Settings) -> None:
    """Run the collectors until SIGTERM or SIGINT, and read INGEST_CHANNEL. Raises BadSetting, LogUnavailable.

    Web processes see what it publishes through the database, and through the broker where that reaches them.
    """
    if DASHBOARD_STREAM not in settings.streams:
        raise BadSetting(f"STREAMS must list {DASHBOARD_STREAM}:state for a worker to publish to.")
    await prepare_start(settings, processes=1)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    on_stop_signals(lambda: loop.call_soon_threadsafe(stopped.set))
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(publishing(settings))
        _start_ingest(stack, build_ingest(parts))
        dashboard = Dashboard(parts.db, settings.keep_records)
        collectors = Collectors(parts.db, dashboard, parts.publisher, parts.telemetry)
        tune_garbage_collector()
        collectors.start()
        stack.push_async_callback(collectors.stop)
        await stopped.wait()
        # Another one changes nothing: the loop that it would call may be closed by then, and our handlers gone.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
