"""Coefficients: the numbers that the break-even calculator reckons with, each read from named result files.

A coefficient has the value of the run that is quoted for it. Its range reaches over the 95 % intervals of all runs
that measured the same thing, on whichever machine. calculator.py writes them where the calculator finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from bench import claims, result
from bench.claims import RESULTS, Claim, Measured
from bench.errors import Environment
from bench.load.payload import DEFAULT_SIZE
from bench.result import Result, Run
from bench.statistics import stats

TRANSPORTS = {"sse": "SSE", "cable": "cable"}

# The quoted runs, and others of the same thing: of the same machine with older code, and of another machine.
QUOTED, EARLIER, OTHERS = "second-machine", "second-machine-earlier", ("headline", "headline-again")
TWO, ONE = "app-redis-postgres", "app-redis-postgres-one"
# Over Redis and PostgreSQL: the quoted run, and one with older code.
SHARED = ("processes", "processes-earlier")
PROCESSES = f"{SHARED[0]}/processes.json"

# What no result tells, because it is no update: as docs/protocol.md has it, with the default settings.
POSITION = "k3f9a2b1-1042"
PING = '{"type":"ping","message":1694041735}'
HEARTBEAT = (
    f"event: heartbeat\nid: {POSITION}\n"
    f'data: {{"time":"2026-11-29T20:00:00.000Z","position":"{POSITION}"}}\n\n'
)
TRIPLE = ',"stream_id":"dashboard_updates","epoch":"k3f9a2b1","offset":1042'
FRAME_HEAD = 2  # bytes of a WebSocket frame with less than 126 bytes in it (RFC 6455 section 5.2)
CHUNK = len("ff\r\n\r\n")  # around an HTTP/1.1 chunk of less than 256 bytes (RFC 9112 section 7.1)
PING_SECONDS, HEARTBEAT_SECONDS = 3, 15


class Reading(NamedTuple):
    """What one result file says about a coefficient; `of` names rows and figures."""

    measured: Measured
    file: str
    of: str


class Coefficient(NamedTuple):
    """`readings` has the quoted one first, and is empty for what follows from the protocol alone. `clients` and `rate`
    are those of the measurement, for a cost that depends on them."""

    id: str
    says: str
    unit: str
    readings: Sequence[Reading] = ()
    clients: int = 0
    rate: float = 0.0
    fixed: float = 0.0

    @property
    def value(self) -> float:
        """Of the quoted run."""
        return self.readings[0].measured.value if self.readings else self.fixed

    @property
    def low(self) -> float:
        """The lowest end of all intervals; a cost is never below 0."""
        return (
            max(0.0, min(_bounds(one.measured)[0] for one in self.readings)) if self.readings else self.fixed
        )

    @property
    def high(self) -> float:
        """The highest end of all intervals."""
        return max(_bounds(one.measured)[1] for one in self.readings) if self.readings else self.fixed


def _bounds(measured: Measured) -> tuple[float, float]:
    low, high = measured.low, measured.high
    return measured.value if low is None else low, measured.value if high is None else high


@cache
def read(file: str) -> Result:
    return result.read(RESULTS / file)


def of_row(file: str, row: str, *figures: str) -> Reading:
    """The first of `figures` that a row has. Raises Environment when it has none of them."""
    for figure in figures:
        found = claims.of_result(Claim("", "ours", "", file, figure, row), read(file))
        if found is not None:
            return Reading(found, file, f"{row}: {figure}")
    raise Environment(f"{file} has no clean run of {row} with {' or '.join(figures)}: measure it again")


def of_rows(name: str, row: str, *figures: str) -> list[Reading]:
    """Of a measurement that was made four times."""
    return [of_row(f"{folder}/{name}.json", row, *figures) for folder in (QUOTED, EARLIER, *OTHERS)]


def _interval(values: Sequence[float]) -> Measured:
    """The mean of some runs, and its t interval: of differences, which may be below 0."""
    half = stats.t975(len(values) - 1) * stats.deviation(values) / len(values) ** 0.5
    return Measured(stats.mean(values), stats.mean(values) - half, stats.mean(values) + half)


def _base(transport: str) -> Reading:
    """Memory of a process of two that nobody is connected to, the supervisor included: where the line through the
    weighings meets 0. (`idle` weighs one process without Redis and PostgreSQL.)"""
    row, values = f"{TWO} {transport}", []
    for run in (one for one in read(PROCESSES).of(row) if one.valid):
        points = [(weight[0], weight[1]) for weight in run.facts["memory"]]
        values.append(stats.line(points).intercept / len(run.facts["connections_by_process"]))
    return Reading(Measured(stats.mean(values), *stats.bounds(values)), PROCESSES, f"{row}: memory at 0")


def _relay(folder: str, transport: str) -> Reading:
    """CPU of one process more for each update: two processes against one with the same clients, pair by pair."""
    file = f"{folder}/processes.json"
    made = read(file)
    one, two = (
        {run.pair: run.figures["us_per_delivery"] for run in made.of(f"{name} {transport}") if run.valid}
        for name in (ONE, TWO)
    )
    more = [(two[pair] - one[pair]) * made.plan["clients"] for pair in sorted(one.keys() & two.keys())]
    return Reading(_interval(more), file, f"{TWO} {transport} less {ONE} {transport}: us_per_delivery")


def _pause(folder: str, transport: str) -> Reading:
    """CPU that a publish takes more for each second of pause before it: where the line through the rates of a sweep
    meets 0, pair by pair. What was not used for long is not in the processor's caches any more."""
    file, row = f"{folder}/sweep.json", f"app {transport}"
    runs = [run for run in read(file).of(row) if run.valid]
    points = [
        [(run.point or 0, cores(run) * 1000) for run in runs if run.pair == pair]
        for pair in sorted({run.pair for run in runs})
    ]
    lines = [stats.line(found).intercept for found in points if len(found) > 2]
    return Reading(_interval(lines), file, f"{row}: us_per_delivery x offered_per_second, at no rate")


def cores(run: Run) -> float:
    """CPU a second that the offered rate takes. (`server_share` is of a window that is longer than the schedule.)"""
    return run.figures["us_per_delivery"] * run.figures["offered_per_second"] / 1e6


def _per_byte(folder: str, transport: str) -> Reading:
    """CPU for each byte more in a write: that of a hundred updates at once against that of one. What the longer pause
    before a burst costs is taken off."""
    row, burst, fanout = f"app {transport}", f"{folder}/burst.json", f"{folder}/fanout.json"
    batch = read(burst).plan["batch"]
    many, alone = (of_row(file, row, "us_per_delivery").measured for file in (burst, fanout))
    sizes = [of_row(file, row, "bytes_per_delivery").measured.value for file in (burst, fanout)]
    longest = 1 / read(f"{folder}/sweep.json").plan["rates"][0]
    pauses = [min(longest, 1 / read(file).plan["rates"][0]) for file in (burst, fanout)]
    clients = read(burst).plan["clients"]
    pause = 1000 * _pause(folder, transport).measured.value * (pauses[0] - pauses[1]) / clients
    ends = (
        (many.value, alone.value),
        (_bounds(many)[0], _bounds(alone)[1]),
        (_bounds(many)[1], _bounds(alone)[0]),
    )
    bytes_more = batch * sizes[0] - sizes[1]
    found = [1000 * (batch * most - least - pause) / bytes_more for most, least in ends]
    return Reading(Measured(*found), burst, f"{row} against fanout: us_per_delivery")


def _wire_bytes(transport: str) -> tuple[Reading, Reading]:
    """Bytes on the wire beyond those of the update's JSON: for each update, and for each write."""
    row, burst, fanout = f"app {transport}", "headline/burst.json", f"{QUOTED}/fanout.json"
    batch = read(burst).plan["batch"]
    many, alone = (of_row(file, row, "bytes_per_delivery").measured.value for file in (burst, fanout))
    write = max(0.0, (alone - many) * batch / (batch - 1))
    of = f"{row}: bytes_per_delivery"
    return (
        Reading(Measured(alone - DEFAULT_SIZE - write), fanout, f"{of}, against burst"),
        Reading(Measured(write), burst, f"{of}, against fanout"),
    )


def _core_share() -> Reading:
    """The largest share of a core at which a process of the sweep still met its demand, in two clean runs at least."""
    found = []
    for file in (f"{folder}/sweep.json" for folder in OTHERS):
        made = read(file)
        for row in made.keys:
            for point in sorted({run.point for run in made.of(row) if run.point is not None}):
                runs = [run for run in made.of(row, point) if run.valid and run.figures["p99_ms"] < 100]
                if len(runs) > 1:
                    share = stats.mean([run.figures["server_share"] for run in runs])
                    found.append(Reading(Measured(share), file, f"{row} at {point:g}/s: server_share"))
    return max(found, key=lambda one: one.measured.value)


def _of_transport(key: str, name: str) -> Iterator[Coefficient]:
    row = f"app {key}"
    update, write = _wire_bytes(key)
    yield Coefficient(
        f"memory-{key}", f"{name}: memory of a connection", "KiB", of_rows("idle", row, "kb_per_connection")
    )
    yield Coefficient(
        f"kernel-{key}",
        f"{name}: memory of the kernel for a connection, counted at the high end",
        "KiB",
        of_rows("idle", row, "kernel_kb_per_connection"),
    )
    yield Coefficient(
        f"idle-{key}",
        f"{name}: CPU of a connection's pings or heartbeats",
        "\N{MICRO SIGN}s/s",
        of_rows("idle", row, "idle_us_per_connection_second"),
    )
    yield Coefficient(
        f"connect-{key}",
        f"{name}: CPU to take a client in",
        "\N{MICRO SIGN}s",
        of_rows("storm", row, "us_per_connect"),
    )
    sweep = read(f"{OTHERS[0]}/sweep.json").plan
    clients, rate = sweep["clients"], sweep["rates"][0]
    yield Coefficient(
        f"pause-{key}",
        f"{name}: CPU of a publish for a second of pause before it, up to {1 / rate:g} s, {clients:,} clients",
        "ms",
        [_pause(folder, key) for folder in OTHERS],
        clients,
        rate,
    )
    for file in ("fanout", "large"):
        plan = read(f"{QUOTED}/{file}.json").plan
        clients, rate = plan["clients"], plan["rates"][0]
        yield Coefficient(
            f"write-{clients}-{key}",
            f"{name}: CPU of a delivery, {clients:,} clients, {rate:g} updates a second",
            "\N{MICRO SIGN}s",
            [
                *of_rows(file, row, "us_per_write", "us_per_delivery"),
                *([of_row(PROCESSES, row, "us_per_write")] if file == "fanout" else ()),
            ],
            clients,
            rate,
        )
    yield Coefficient(
        f"byte-{key}",
        f"{name}: CPU of a byte more in a write",
        "ns",
        [_per_byte(folder, key) for folder in OTHERS],
    )
    yield Coefficient(f"update-bytes-{key}", f"{name}: bytes around an update", "bytes", [update])
    yield Coefficient(f"write-bytes-{key}", f"{name}: bytes around a write", "bytes", [write])


@cache
def load() -> tuple[Coefficient, ...]:
    """All coefficients. Raises Environment for a result that is not there, or lacks what is looked for."""
    publish = [
        *(of_row(f"{folder}/publish-shared.json", f"{ONE} sse", "us_per_publish") for folder in SHARED),
        *(of_row(f"{folder}/publish.json", "app sse", "us_per_publish") for folder in OTHERS),
    ]
    return (
        Coefficient(
            "base", "memory of a process of two that serves nobody", "KiB", [_base(key) for key in TRANSPORTS]
        ),
        Coefficient("publish", "CPU of a publish to nobody", "\N{MICRO SIGN}s", publish),
        Coefficient(
            "relay",
            "CPU of each further process for an update",
            "\N{MICRO SIGN}s",
            [_relay(folder, key) for folder in SHARED for key in TRANSPORTS],
        ),
        *(one for key, name in TRANSPORTS.items() for one in _of_transport(key, name)),
        Coefficient("core-share", "share of a core up to which latency was good", "of 1", [_core_share()]),
        Coefficient("beat-bytes-sse", "SSE: a heartbeat", "bytes", fixed=len(HEARTBEAT) + CHUNK),
        Coefficient("beat-seconds-sse", "SSE: from one heartbeat to the next", "s", fixed=HEARTBEAT_SECONDS),
        Coefficient("beat-bytes-cable", "cable: a ping", "bytes", fixed=len(PING) + FRAME_HEAD),
        Coefficient("beat-seconds-cable", "cable: from one ping to the next", "s", fixed=PING_SECONDS),
        Coefficient(
            "position-bytes", "extended cable: the position in an update", "bytes", fixed=len(TRIPLE)
        ),
    )
