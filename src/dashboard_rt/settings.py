"""Every variable of the environment: its default, its limits and its meaning, in one frozen dataclass.

`Settings.read` takes the environment, once. The sentence beside each field is the one in docs/settings.md: a test
compares the two.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from . import env, urls
from .env import Derived, Variable
from .errors import BadSetting
from .types import Kind

DASHBOARD_STREAM = "dashboard_updates"
BROKER_CHANNEL = "dashboard_rt"  # of Redis and of PostgreSQL
MAX_WORKERS = 256
RESERVED_FILES = 200  # listeners, database, log files, outgoing connections; the rest is for clients


def _clients_that_fit(_: Mapping[str, Any]) -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else max(1, soft - RESERVED_FILES)


def _on_loopback(seen: Mapping[str, Any]) -> bool:
    return env.is_loopback(seen["host"])


def _on_loopback_for_all(seen: Mapping[str, Any]) -> bool:
    # Not where streams are for ticket holders alone: a proxy on this machine makes strangers look like this machine.
    return _on_loopback(seen) and seen["stream_auth_secret"] is None


def _any_host_in_public(seen: Mapping[str, Any]) -> tuple[str, ...]:
    return () if _on_loopback(seen) else ("*",)


def _redis_or_memory(seen: Mapping[str, Any]) -> str:
    return seen["redis_url"] or "memory://"


def _two_heartbeats(seen: Mapping[str, Any]) -> float:
    return 2 * float(seen["sse_heartbeat"])


def _sslmode(seen: Mapping[str, Any]) -> str:
    return urls.sslmode(seen["database_url"])


NO_VALUE = Derived("", lambda seen: None)
NO_ORIGINS = Derived("", lambda seen: ())
NO_PATH = Derived("", lambda seen: "")


@dataclass(frozen=True, repr=False)
class Settings:
    """The values of all variables. Durations are in seconds, `retry_*` in ms, sizes in bytes.

    Build one with `Settings.read({...})`. `dataclasses.replace` gives a variation, for tests: it checks nothing.
    """

    port: Annotated[int, Variable("3000", env.whole(0, 65535), "Where to listen; 0 takes any free port.")]
    host: Annotated[
        str,
        Variable(
            "127.0.0.1", env.host, "The address to listen on; 0.0.0.0 is every IPv4 one of this machine."
        ),
    ]
    database_url: Annotated[
        str,
        Variable("sqlite:///./dashboard.db", urls.database_url, "Where the log and the records are kept."),
    ]
    database_ssl: Annotated[
        str,
        Variable(
            Derived("the `sslmode` of `DATABASE_URL`, else `prefer`", _sslmode),
            env.one_of("off", "prefer", "require", "verify-full"),
            "TLS to PostgreSQL: `prefer` where the server has it, `require` always, `verify-full` with its "
            "certificate checked, or `off`.",
        ),
    ]
    redis_url: Annotated[
        str | None,
        Variable(
            NO_VALUE,
            urls.redis_url,
            "A Redis, `redis://` or `rediss://`, which is the broker unless BROKER_URL names another.",
        ),
    ]
    redis_tls_verify: Annotated[
        bool,
        Variable(
            "required",
            env.required_or_none,
            "Whether the certificate of a `rediss://` server is checked: `required`, or `none` for a self-signed one.",
            on="required",
            off="none",
        ),
    ]
    broker_url: Annotated[
        str,
        Variable(
            Derived("REDIS_URL if set, else `memory://`", _redis_or_memory),
            urls.broker_url,
            "The broker that tells the processes of a new update at once: `memory://` (none), a Redis, or `postgres`, "
            "which is the database of DATABASE_URL.",
        ),
    ]
    ingest_channel: Annotated[
        str | None,
        Variable(
            NO_VALUE,
            env.channel,
            "The Redis channel whose messages, JSON texts of any other program, become updates.",
        ),
    ]
    web_concurrency: Annotated[
        int,
        Variable(
            "1", env.whole(1, MAX_WORKERS), "How many server processes share the port and the database."
        ),
    ]
    web_concurrency_set_by: Annotated[
        str | None,
        Variable(
            NO_VALUE,
            env.printable(100),
            "Who has set WEB_CONCURRENCY where you have not, for the log: Heroku's buildpack says it here.",
        ),
    ]
    dyno: Annotated[
        str | None,
        Variable(
            NO_VALUE,
            env.printable(100),
            "Set by Heroku: the name of the dyno, which is killed 30 seconds behind its SIGTERM.",
        ),
    ]
    jobs_inline: Annotated[
        bool,
        Variable(
            "inline",
            env.inline_or_off,
            "`inline` collects the figures in the web process; `off` leaves that to `dashboard-rt worker`.",
            name="JOBS",
            on="inline",
        ),
    ]
    streams: Annotated[
        Mapping[str, Kind],
        Variable(
            f"{DASHBOARD_STREAM}:state",
            env.streams,
            "The streams, as name:kind with commas between: of a `state` stream the newest update is enough, "
            "of a `log` stream each one counts.",
        ),
    ]
    max_clients: Annotated[
        int,
        Variable(
            Derived(f"the limit of open files - {RESERVED_FILES}", _clients_that_fit),
            env.whole(1),
            "Connections of both transports that one process holds; the next one is told `full`.",
        ),
    ]
    max_clients_per_address: Annotated[
        int | None, Variable("off", env.limit_or_off, "The same for one client address, or `off`.")
    ]
    forwarded_allow_ips: Annotated[
        tuple[str, ...],
        Variable(
            "127.0.0.1,::1",
            env.addresses,
            "Proxies whose X-Forwarded-* headers are believed: addresses or networks, or `*`.",
        ),
    ]
    allowed_hosts: Annotated[
        tuple[str, ...],
        Variable(
            Derived("loopback names when HOST is a loopback address, else `*`", _any_host_in_public),
            env.hosts,
            "The hosts that requests may ask for, with commas between: names, `*.example.org` or `*`; loopback names "
            "always may.",
        ),
    ]
    root_path: Annotated[
        str,
        Variable(
            NO_PATH,
            env.root_path,
            "The path under which a proxy shows the app, such as /dash, whether or not it passes it on.",
        ),
    ]
    tail_size: Annotated[
        int, Variable("1000", env.whole(1), "Newest updates of each stream that a process keeps in memory.")
    ]
    tail_bytes: Annotated[
        int,
        Variable(
            "8 MiB", env.size(65536), "The same in bytes, a character counted as one; whichever comes first."
        ),
    ]
    keep_events: Annotated[
        int, Variable("10000", env.whole(1), "Newest updates of each stream that the log keeps.")
    ]
    keep_records: Annotated[
        int, Variable("1000", env.whole(1), "Newest metrics, statuses and activities that are kept, of each.")
    ]
    max_replay: Annotated[
        int,
        Variable(
            "1000", env.whole(0), "A client that is more updates behind than this gets a `gap` instead."
        ),
    ]
    send_timeout: Annotated[
        float,
        Variable(
            "10",
            env.seconds(0.1, 3600),
            "Seconds after which a client is cut off that takes nothing, or does not go on with its request.",
        ),
    ]
    poll_seconds: Annotated[
        float,
        Variable(
            "1",
            env.seconds(0.01, 60),
            "Seconds between two looks at the log for updates of other processes, whatever the broker tells.",
        ),
    ]
    sse_heartbeat: Annotated[
        float, Variable("15", env.seconds(0.05, 3600), "Seconds between the heartbeats of SSE.")
    ]
    cable_ping: Annotated[
        float,
        Variable(
            "3",
            env.seconds(0.05, 5),
            "Seconds between cable pings; stock clients give up after 6 without.",
        ),
    ]
    drain_seconds: Annotated[
        float,
        Variable(
            "10", env.seconds(0, 3600), "Seconds over which a stopping process says goodbye to its clients."
        ),
    ]
    keep_alive_seconds: Annotated[
        int,
        Variable(
            "95",
            env.whole(1, 3600),
            "Seconds for which a connection is kept for its next request: longer than any proxy in front keeps it.",
        ),
    ]
    retry_min: Annotated[
        int,
        Variable(
            "1000", env.whole(0, 3_600_000), "The least time in ms after which a client is told to come back."
        ),
    ]
    retry_max: Annotated[
        int, Variable("5000", env.whole(1, 3_600_000), "The most; each client is told a time of its own.")
    ]
    allowed_origins: Annotated[
        tuple[str, ...],
        Variable(
            NO_ORIGINS, env.origins, "Other origins whose pages may connect, with commas between; never `*`."
        ),
    ]
    cable_require_origin: Annotated[
        bool, Variable("off", env.switch, "Whether a WebSocket without an Origin (not a browser) is refused.")
    ]
    publish_token: Annotated[
        str | None,
        Variable(
            NO_VALUE,
            env.token,
            "The bearer token for publishing over HTTP; without one nobody can publish.",
            secret=True,
        ),
    ]
    ops_token: Annotated[
        str | None,
        Variable(
            NO_VALUE,
            env.token,
            "The bearer token for `/metrics`, `/dashboard/stats` and `/dashboard/debug`; without one they answer only "
            "this machine.",
            secret=True,
        ),
    ]
    stream_auth_secret: Annotated[
        str | None,
        Variable(
            NO_VALUE,
            env.signing_secret,
            "The secret that signs tickets (JWT, HS256); with one a stream opens with a ticket only.",
            secret=True,
        ),
    ]
    demo: Annotated[
        bool,
        Variable(
            Derived(
                "on when HOST is a loopback address and STREAM_AUTH_SECRET is not set, else off",
                _on_loopback_for_all,
            ),
            env.switch,
            "Whether the page's trigger buttons work without the token (at a limited rate, and not for pages of "
            "another host); on this machine the page then gets its tickets, too.",
        ),
    ]
    force_https: Annotated[
        bool,
        Variable(
            "off",
            env.switch,
            "Whether requests that a proxy took over plain HTTP (X-Forwarded-Proto) are sent to https://, or refused, "
            "and browsers are told to stay there (HSTS).",
        ),
    ]
    handover: Annotated[
        bool,
        Variable("on", env.switch, "Whether streams leave uvicorn's connection objects for our small ones."),
    ]
    ws_compression: Annotated[
        bool,
        Variable(
            "off", env.switch, "permessage-deflate on `/cable`: 32 to 64 KB more a client, no handover."
        ),
    ]
    log_level: Annotated[
        str,
        Variable("info", env.one_of("debug", "info", "warning", "error"), "The least level that is logged."),
    ]
    log_format: Annotated[
        str,
        Variable(
            "text", env.one_of("text", "json"), "`text` for people, `json` for machines: one object a line."
        ),
    ]
    sse_host: Annotated[
        str | None,
        Variable(NO_VALUE, env.host, "The host that the page opens its SSE stream on; none: its own."),
    ]
    sse_port: Annotated[
        int | None,
        Variable(
            NO_VALUE, env.whole(1, 65535), "The port that the page opens its SSE stream on; none: its own."
        ),
    ]
    sse_endpoint: Annotated[
        str, Variable("/dashboard/stream", env.path, "The path that the page opens its SSE stream on.")
    ]
    sse_auto_refresh: Annotated[
        bool, Variable("on", env.switch, "Whether the page connects by itself when it is opened.")
    ]
    sse_connection_timeout: Annotated[
        float,
        Variable(
            Derived("2 x SSE_HEARTBEAT", _two_heartbeats),
            env.seconds(0.1, 86400),
            "Seconds without a sign of life after which the page opens its SSE stream anew.",
        ),
    ]
    sse_retry_interval: Annotated[
        int,
        Variable(
            "1000", env.whole(1, 3_600_000), "The base in ms of the page's growing, random reconnect delay."
        ),
    ]

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Read every variable, in the order of the class. Raises BadSetting, which names the variable."""
        seen: dict[str, Any] = {}
        for field, name, variable in described():
            seen[field] = variable.value(name, environ, seen)
        settings = cls(**seen)
        settings._cross_check()
        return settings

    @property
    def on_loopback(self) -> bool:
        """Whether HOST is an address that only this machine can reach."""
        return env.is_loopback(self.host)

    @property
    def ingest_stream(self) -> str:
        """The stream that INGEST_CHANNEL is written to: the one of its name, else that of the dashboard."""
        named = self.ingest_channel in self.streams
        return self.ingest_channel if self.ingest_channel and named else DASHBOARD_STREAM

    def _cross_check(self) -> None:
        if self.retry_min > self.retry_max:
            raise BadSetting(f"RETRY_MIN ({self.retry_min}) must not be above RETRY_MAX ({self.retry_max}).")
        if self.jobs_inline and DASHBOARD_STREAM not in self.streams:
            raise BadSetting(f"STREAMS must list {DASHBOARD_STREAM}:state, or JOBS must be off.")
        if self.broker_url == "postgres" and not self.database_url.startswith("postgres"):
            raise BadSetting(
                "BROKER_URL=postgres needs a DATABASE_URL of PostgreSQL: set that too, or use a Redis."
            )
        if self.sse_connection_timeout <= self.sse_heartbeat:
            raise BadSetting(
                f"SSE_CONNECTION_TIMEOUT ({self.sse_connection_timeout:g}) must be above SSE_HEARTBEAT "
                f"({self.sse_heartbeat:g}), or the page reconnects for ever."
            )
        if self.max_clients_per_address and self.max_clients_per_address > self.max_clients:
            raise BadSetting(
                f"MAX_CLIENTS_PER_ADDRESS ({self.max_clients_per_address}) must not be above "
                f"MAX_CLIENTS ({self.max_clients})."
            )
        self._check_ingest()

    def _check_ingest(self) -> None:
        if self.ingest_channel == BROKER_CHANNEL:
            raise BadSetting(
                f"INGEST_CHANNEL must not be {BROKER_CHANNEL}: that is the channel of the broker."
            )
        if self.ingest_channel and not self.redis_url:
            raise BadSetting("INGEST_CHANNEL needs the Redis server that it is on: set REDIS_URL.")
        if self.ingest_channel and self.ingest_stream not in self.streams:
            raise BadSetting(
                f"STREAMS must list {DASHBOARD_STREAM}, or the name in INGEST_CHANNEL: the stream for its messages."
            )

    def masked(self) -> dict[str, object]:
        """Return variable names and JSON-ready values, secrets and passwords masked, for /dashboard/debug."""
        return {name: variable.masked(getattr(self, field)) for field, name, variable in described()}

    def __repr__(self) -> str:
        # Masked, because a repr ends up in logs and tracebacks.
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.masked().items())})"


@cache
def described() -> tuple[tuple[str, str, Variable], ...]:
    """Return (field, name of the variable, Variable) for every field, in the order of the class."""
    return tuple(_described())


def _described() -> Iterator[tuple[str, str, Variable]]:
    hints = get_type_hints(Settings, include_extras=True)
    for field in fields(Settings):
        (variable,) = hints[field.name].__metadata__
        yield field.name, variable.name or field.name.upper(), variable
