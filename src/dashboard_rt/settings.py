"""Every variable of the environment: its default, its limits and its meaning, in one frozen dataclass.

The environment is read once, by `Settings.read`; nothing else of ours looks at `os.environ`. What a variable
does is said beside its field and nowhere else: a test holds docs/settings.md against it.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from . import variables as v
from .errors import BadSetting
from .types import Kind
from .variables import Derived, Variable

DASHBOARD_STREAM = "dashboard_updates"
FILES_KEPT_BACK = 200  # listeners, database, log files, outgoing connections; the rest is for clients


def _clients_that_fit(_: Mapping[str, Any]) -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else max(1, soft - FILES_KEPT_BACK)


def _on_loopback(seen: Mapping[str, Any]) -> bool:
    return v.is_loopback(seen["host"])


def _two_heartbeats(seen: Mapping[str, Any]) -> float:
    return 2 * float(seen["sse_heartbeat"])


NONE = Derived("", lambda seen: None)
NOBODY = Derived("", lambda seen: ())


@dataclass(frozen=True, repr=False)
class Settings:
    """What the environment asked for. Durations are seconds, `retry_*` milliseconds, sizes bytes.

    Build one with `Settings.read({...})`; `dataclasses.replace` gives a variation (unchecked, for tests).
    """

    port: Annotated[int, Variable("3000", v.whole(0, 65535), "Where to listen; 0 takes any free port.")]
    host: Annotated[
        str,
        Variable("127.0.0.1", v.host, "The address to listen on; 0.0.0.0 is every IPv4 one of this machine."),
    ]
    database_url: Annotated[
        str, Variable("sqlite:///./dashboard.db", v.database_url, "Where the log and the records are kept.")
    ]
    broker_url: Annotated[
        str, Variable("memory://", v.broker_url, "The bell that tells the processes of a new update at once.")
    ]
    web_concurrency: Annotated[
        int, Variable("1", v.whole(1, 256), "How many server processes share the port and the database.")
    ]
    jobs_inline: Annotated[
        bool,
        Variable(
            "inline",
            v.inline_or_off,
            "`inline` collects the figures in the web process; `off` leaves that to `dashboard-rt worker`.",
            name="JOBS",
        ),
    ]
    streams: Annotated[
        Mapping[str, Kind],
        Variable(
            f"{DASHBOARD_STREAM}:state",
            v.streams,
            "The streams, as name:kind with commas between: of a `state` stream the newest update is enough, "
            "of a `log` stream each one counts.",
        ),
    ]
    max_clients: Annotated[
        int,
        Variable(
            Derived(f"the limit of open files - {FILES_KEPT_BACK}", _clients_that_fit),
            v.whole(1),
            "Connections of both transports that one process holds; the next one is told `full`.",
        ),
    ]
    max_clients_per_address: Annotated[
        int | None, Variable("off", v.limit_or_off, "The same for one client address, or `off`.")
    ]
    forwarded_allow_ips: Annotated[
        tuple[str, ...],
        Variable(
            "127.0.0.1",
            v.addresses,
            "Proxies whose X-Forwarded-* headers are believed: addresses or networks, or `*`.",
        ),
    ]
    tail_size: Annotated[
        int, Variable("1000", v.whole(1), "Newest updates of each stream that a process keeps in memory.")
    ]
    tail_bytes: Annotated[
        int, Variable("8 MiB", v.size(65536), "The same in bytes; whichever is reached first.")
    ]
    keep_events: Annotated[
        int, Variable("10000", v.whole(1), "Newest updates of each stream that the log keeps.")
    ]
    keep_records: Annotated[
        int, Variable("1000", v.whole(1), "Newest metrics, statuses and activities that are kept, of each.")
    ]
    max_replay: Annotated[
        int,
        Variable("1000", v.whole(0), "A client that is more updates behind than this gets a `gap` instead."),
    ]
    send_timeout: Annotated[
        float,
        Variable("10", v.seconds(0.1, 3600), "Seconds after which a client that takes nothing is cut off."),
    ]
    poll_seconds: Annotated[
        float,
        Variable("1", v.seconds(0.01, 60), "With no word from the broker for so long, the log is looked at."),
    ]
    sse_heartbeat: Annotated[
        float, Variable("15", v.seconds(0.05, 3600), "Seconds between the heartbeats of SSE.")
    ]
    cable_ping: Annotated[
        float,
        Variable(
            "3",
            v.seconds(0.05, 5),
            "Seconds between cable pings, give or take a sixth; stock clients give up after 6 without.",
        ),
    ]
    drain_seconds: Annotated[
        float,
        Variable(
            "10", v.seconds(0, 3600), "Seconds over which a stopping process says goodbye to its clients."
        ),
    ]
    retry_min: Annotated[
        int,
        Variable(
            "1000", v.whole(0, 3_600_000), "Clients are told to come back after at least so many ms ..."
        ),
    ]
    retry_max: Annotated[
        int, Variable("5000", v.whole(1, 3_600_000), "... and at most so many, each its own number.")
    ]
    allowed_origins: Annotated[
        tuple[str, ...],
        Variable(NOBODY, v.origins, "Other origins whose pages may connect, with commas between; never `*`."),
    ]
    cable_require_origin: Annotated[
        bool, Variable("off", v.switch, "Whether a WebSocket without an Origin (not a browser) is refused.")
    ]
    publish_token: Annotated[
        str | None,
        Variable(NONE, v.token, "The bearer token for publishing over HTTP; none: nobody can.", secret=True),
    ]
    demo: Annotated[
        bool,
        Variable(
            Derived("on when HOST is a loopback address, else off", _on_loopback),
            v.switch,
            "Whether the page's trigger buttons work without the token (at a limited rate, and not for pages of "
            "another host).",
        ),
    ]
    handover: Annotated[
        bool,
        Variable("on", v.switch, "Whether streams leave uvicorn's connection objects for our small ones."),
    ]
    ws_compression: Annotated[
        bool,
        Variable("off", v.switch, "permessage-deflate on `/cable`: 32 to 64 KB more a client, no handover."),
    ]
    log_level: Annotated[
        str,
        Variable("info", v.one_of("debug", "info", "warning", "error"), "The least level that is logged."),
    ]
    log_format: Annotated[
        str,
        Variable(
            "text", v.one_of("text", "json"), "`text` for people, `json` for machines: one object a line."
        ),
    ]
    sse_host: Annotated[
        str | None, Variable(NONE, v.host, "The host that the page opens its SSE stream on; none: its own.")
    ]
    sse_port: Annotated[
        int | None,
        Variable(NONE, v.whole(1, 65535), "The port that the page opens its SSE stream on; none: its own."),
    ]
    sse_endpoint: Annotated[
        str, Variable("/dashboard/stream", v.path, "The path that the page opens its SSE stream on.")
    ]
    sse_auto_refresh: Annotated[
        bool, Variable("on", v.switch, "Whether the page connects by itself when it is opened.")
    ]
    sse_connection_timeout: Annotated[
        float,
        Variable(
            Derived("2 x SSE_HEARTBEAT", _two_heartbeats),
            v.seconds(0.1, 86400),
            "Seconds without a sign of life after which the page opens its SSE stream anew.",
        ),
    ]
    sse_retry_interval: Annotated[
        int,
        Variable(
            "1000", v.whole(1, 3_600_000), "The base in ms of the page's growing, random reconnect delay."
        ),
    ]

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Read every variable. Raises BadSetting with one sentence that names the variable."""
        seen: dict[str, Any] = {}
        for field, name, variable in described():
            seen[field] = variable.value(name, environ, seen)
        settings = cls(**seen)
        settings._cross_check()
        return settings

    def _cross_check(self) -> None:
        if self.retry_min > self.retry_max:
            raise BadSetting(f"RETRY_MIN ({self.retry_min}) must not be above RETRY_MAX ({self.retry_max}).")
        if self.jobs_inline and DASHBOARD_STREAM not in self.streams:
            raise BadSetting(f"STREAMS must list {DASHBOARD_STREAM}:state, or JOBS must be off.")
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

    def shown(self) -> dict[str, object]:
        """Variable name to value as JSON can hold it, secrets and passwords masked (for /dashboard/debug)."""
        return {name: variable.shown(getattr(self, field)) for field, name, variable in described()}

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"


@cache
def described() -> tuple[tuple[str, str, Variable], ...]:
    """Every field with the name of its variable and its description, in the order of the class."""
    return tuple(_described())


def _described() -> Iterator[tuple[str, str, Variable]]:
    hints = get_type_hints(Settings, include_extras=True)
    for field in fields(Settings):
        (variable,) = hints[field.name].__metadata__
        yield field.name, variable.name or field.name.upper(), variable
