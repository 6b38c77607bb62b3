"""Tables for a terminal, made from runs only. Pure: runs in, lines out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench import stats
from bench.run import Run
from bench.stats import Ratio

COLUMNS = (
    ("us/delivery", "us_per_delivery", "{:.2f}"),
    ("KB/conn", "kb_per_connection", "{:.2f}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("bytes", "bytes_per_delivery", "{:.0f}"),
    ("server", "server_share", "{:.0%}"),
    ("client", "client_share", "{:.0%}"),
)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            text.rjust(width) if column else text.ljust(width) for column, (text, width) in enumerate(pairs)
        )
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]


def cells(runs: Iterable[Run]) -> list[tuple[str, str]]:
    """The (transport, target) rows, in the order of transports and then of targets."""
    return sorted(
        {(run.transport, run.target) for run in runs},
        key=lambda cell: (cell[0] != "sse", cell[1] != "app", cell),
    )


def ratio(
    runs: Iterable[Run], transport: str, figure: str, ours: str = "app", theirs: str = "floor"
) -> Ratio | None:
    """`ours` divided by `theirs` over the pairs in which both were measured; None when there is none."""
    found: dict[str, dict[int, float]] = {ours: {}, theirs: {}}
    for run in runs:
        if run.transport == transport and run.target in found and run.figures.get(figure, 0) > 0:
            found[run.target][run.pair] = run.figures[figure]
    both = sorted(found[ours].keys() & found[theirs].keys())
    return (
        stats.paired_ratio(*([found[name][pair] for pair in both] for name in (ours, theirs)))
        if both
        else None
    )


def decision(
    runs: Sequence[Run], transport: str, figure: str, what: str, *, goal: float, at_most: bool
) -> str | None:
    """The ratio in words, and its goal. Pairs with a void run are left out and that is said; when all are void
    they are shown all the same, but judge nothing."""
    whole = ratio(runs, transport, figure)
    clean = ratio([run for run in runs if run.valid], transport, figure)
    if whole is None:
        return None
    aim = f"goal {'<=' if at_most else '>='} {goal:.2f}"
    if clean is None:
        return f"{stats.in_words(whole, what)}  (VOID, every pair; {aim}: not judged)"
    left_out = f", {whole.pairs - clean.pairs} void pairs left out" if whole.pairs > clean.pairs else ""
    return f"{stats.in_words(clean, what)}  ({aim}: {stats.against(clean, goal, at_most)}{left_out})"


def line(run: Run) -> str:
    """One fan-out run in a line."""
    figures = run.figures
    return (
        f"{run.target:<6} {run.transport:<5} {figures['us_per_delivery']:6.2f} us"
        f"  p50 {figures['p50_ms']:6.2f}  p99 {figures['p99_ms']:6.2f} ms"
    )


def overview(runs: Sequence[Run]) -> list[str]:
    """The means of every row; the rows of a void or lossy run are marked."""
    rows = [["", *(title for title, _, _ in COLUMNS), "lost/doubled/disordered"]]
    for transport, target in cells(runs):
        own = [run for run in runs if (run.transport, run.target) == (transport, target)]
        rows.append(
            [f"{transport} {target}", *(_mean(own, figure, form) for _, figure, form in COLUMNS), _books(own)]
        )
    return table(rows)


def _mean(runs: Sequence[Run], figure: str, form: str) -> str:
    found = [run.figures[figure] for run in runs if figure in run.figures]
    return form.format(stats.mean(found)) if found else "-"


def _books(runs: Sequence[Run]) -> str:
    accounts = [run.facts["load"]["account"] for run in runs]
    return "/".join(
        str(sum(account[name] for account in accounts)) for name in ("lost", "doubled", "disordered")
    )


def comparisons(runs: Sequence[Run], goal: float) -> list[str]:
    """What the app costs against the floor, in words, per transport."""
    found = (
        decision(
            runs, wire, "us_per_delivery", f"CPU per delivery, {wire}, app / floor", goal=goal, at_most=True
        )
        for wire in transports(runs)
    )
    return [words for words in found if words is not None]


def transports(runs: Iterable[Run]) -> list[str]:
    """Those that were run, SSE first."""
    return sorted({run.transport for run in runs}, reverse=True)


def storms(runs: Sequence[Run], goal: float) -> list[str]:
    """How fast the app takes clients in against the floor, in words, per transport."""
    found = (
        decision(
            runs, wire, "connects_per_second", f"connects/s, {wire}, app / floor", goal=goal, at_most=False
        )
        for wire in transports(runs)
    )
    return [words for words in found if words is not None]


def flags(runs: Iterable[Run]) -> list[str]:
    """Every reason to doubt a run; nothing is hidden."""
    return [
        f"{flag.severity.upper():<5} pair {run.pair} {run.transport} {run.target}: {flag.message}"
        for run in runs
        for flag in run.flags
    ]
