"""The tables beside the pictures in our documents: means over the runs that count, and what they are compared with.

Pure: results in, tables out. pictures.py says which result each is made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench import comparison
from bench.comparison import MAIN, Compared, Comparison
from bench.figures import FIGURES, number
from bench.html import words
from bench.html.charts import memory as weights
from bench.html.charts import outage as outages
from bench.html.knee import rates
from bench.html.table import Entry, Table
from bench.measure import validity
from bench.result import Result, Run, row_key
from bench.statistics import stats

SSE, CABLE = row_key(MAIN, "sse"), row_key(MAIN, "cable")
PAIR = Comparison(CABLE, SSE, "cable", "sse")
# What a choice between the transports turns on, by scenario.
TURNS_ON = {
    "fanout": ("us_per_delivery", "p50_ms", "p99_ms", "bytes_per_delivery"),
    "burst": ("us_per_delivery",),
    "idle": ("kb_per_connection", "idle_us_per_connection_second"),
    "storm": ("us_per_connect",),
}
KB_PER_MB = 1024


def markdown(table: Table) -> str:
    """The table as Markdown; what does not count is struck through, with the reason in its last cell."""
    rules = ["---" if at in table.words else "---:" for at in range(len(table.head))]
    rows = [table.head, rules, *map(_cells, table.entries)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _cells(entry: Entry) -> Sequence[str]:
    if not entry.void:
        return entry.cells
    return [*(f"<del>{cell}</del>" for cell in entry.cells[:-1]), entry.void]


def transports(results: Sequence[Result]) -> Iterator[tuple[Result, Compared]]:
    """Cable against SSE for everything that a choice turns on, with the result that says so."""
    for found in results:
        for name in TURNS_ON[found.scenario]:
            compared = comparison.compared(found, PAIR, FIGURES[name])
            if compared is not None:
                yield found, compared


def verdict(results: Sequence[Result]) -> Table:
    """What each transport takes, and the ratio."""
    entries, before = [], None
    for found, one in transports(results):
        when = "" if found is before else found.label or found.scenario
        both = (_mean(found, row, one.figure.name) for row in (SSE, CABLE))
        pairs = str(one.ratio.pairs if one.ratio else 0)
        entries.append(Entry((when, one.figure.title, *both, *_ratio(one), pairs)))
        before = found
    head = ("when", "figure", "SSE", "cable", "cable / SSE", "95 % interval", "pairs")
    return Table(head, tuple(entries), frozenset({0, 1}))


def outage(results: Sequence[Result]) -> Table:
    """Latency, readiness and the books, a column for each run. The books count on a noisy machine too."""
    (found,) = results
    whole = outages.table(found)
    runs = [_with_noise(entry, found) for entry in whole.entries]
    lines = [
        Entry((head, *(_shown(run, at, head) for run in runs)))
        for at, head in enumerate(whole.head)
        if at > 1  # the row and the number of its pair
    ]
    if any(run.void for run in runs):
        lines.append(Entry(("left out", *(run.void for run in runs))))
    return Table(("", *(run.cells[0] for run in runs)), tuple(lines))


def _with_noise(entry: Entry, found: Result) -> Entry:
    return entry._replace(void=entry.void or "; ".join(validity.machine(**found.noise)))


def _shown(run: Entry, at: int, head: str) -> str:
    return f"~~{run.cells[at]}~~" if run.void and head not in outages.COUNTED else run.cells[at]


def bill(results: Sequence[Result]) -> Table:
    """CPU per delivery in its parts, and how many times it this app takes on the same transport."""
    (found,) = results
    names = ("user_us", "system_us", "us_per_delivery")
    entries = [
        Entry((key, *(_mean(found, key, name) for name in names), *_against(found, key)))
        for key in found.keys
    ]
    head = ("row", "user", "system", "together", "this app / it", "95 % interval")
    return Table(head, tuple(entries))


def _against(found: Result, key: str) -> tuple[str, str]:
    target, _, transport = key.partition(" ")
    one = None
    if target != MAIN:
        pair = Comparison(row_key(MAIN, transport), key, transport, target)
        one = comparison.compared(found, pair, FIGURES["us_per_delivery"])
    return _ratio(one) if one is not None else ("", "")


def memory(results: Sequence[Result]) -> Table:
    """What a connection of each row holds, and the process without any."""
    (found,) = results
    entries = []
    for key in found.keys:
        slope = weights.slope(key, found.of(key))
        if slope is not None:
            low, high = slope.line.low, slope.line.high
            both = (words.DASH,) if low is None or high is None else (number(low), number(high))
            base = f"{slope.line.intercept / KB_PER_MB:,.1f} MiB"
            entries.append(Entry((key, f"{number(slope.line.slope)} KiB", words.DASH.join(both), base)))
    return Table(("row", "a connection", "95 % interval", "the server without any"), tuple(entries))


def sweep(results: Sequence[Result]) -> Table:
    """Latency at each offered rate; where no run counts, why."""
    (found,) = results
    entries = [_at(found, key, rate) for key in found.keys for rate in rates(found, key)]
    head = ("row", "updates a second", "p50", "p99", "server's core", "remark")
    return Table(head, tuple(entries), frozenset({0, 5}))


def _at(found: Result, key: str, rate: float) -> Entry:
    runs = found.of(key, rate)
    good = [run for run in runs if run.valid]
    names = ("p50_ms", "p99_ms", "server_share")
    cells = (key, number(rate), *(_of(good or runs, name) for name in names))
    left_out = len(runs) - len(good)
    remark = f"{left_out} of {len(runs)} runs do not count" if left_out else ""
    return Entry((*cells, remark), "" if good else words.faults(runs[0]))


def _mean(found: Result, key: str, name: str) -> str:
    return _of([run for run in found.of(key) if run.valid], name)


def _of(runs: Sequence[Run], name: str) -> str:
    values = [run.figures[name] for run in runs if name in run.figures]
    return FIGURES[name].text(stats.mean(values)) if values else words.DASH


def _ratio(one: Compared) -> tuple[str, str]:
    return (words.ratio(one.ratio.value) if one.ratio else words.DASH, words.interval(one.ratio))
