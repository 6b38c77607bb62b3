"""Memory per connection: PSS of the server's process tree at growing numbers of idle clients, and a line through it."""

from __future__ import annotations

from collections.abc import Sequence

from bench import stats
from bench.cores import Cores
from bench.load import LoadClients
from bench.run import Run, weigh
from bench.server import Server
from bench.target import Target

SLOPE_FROM = 1000  # below, what the first clients make a server load once would tilt the line


def memory(target: Target, transport: str, counts: Sequence[int], cores: Cores) -> Run:
    """Weigh one fresh server at each count; the slope is taken over counts of at least 1,000 when there are two."""
    with (
        Server(target, "log", cores.server) as server,
        LoadClients(target.wire(transport, server.host, server.port), max(counts), cores.client) as load,
    ):
        points = weigh(server.pid, load, sorted(counts))
        load.close()
    upper = [point for point in points if point[0] >= SLOPE_FROM]
    fit = stats.line(upper if len(upper) > 1 else points)
    found = {"kb_per_connection": fit.slope, "base_kb": float(points[0][1])}
    return Run(target.name, transport, 0, found, facts={"memory": points, "fit": fit._asdict()})


def line(run: Run) -> str:
    """The slope and the points."""
    fit = run.facts["fit"]
    interval = "" if fit["low"] is None else f" (95 % interval {fit['low']:.2f}-{fit['high']:.2f})"
    weights = ", ".join(f"{count}: {kb / 1024:.1f}" for count, kb in run.facts["memory"])
    return f"{run.target:<6} {run.transport:<5} {fit['slope']:.2f} KB per connection{interval}  PSS in MB at {weights}"
