"""One report out of those of several load client processes. Pure.

Counts add up, histograms merge without loss, lists are joined; where there is no sum the busiest process speaks for
the load.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.load import timeline
from bench.load.comeback import curve
from bench.load.ledger import Account, total
from bench.statistics import histogram

Report = dict[str, Any]


def summed(reports: Sequence[Report], *names: str) -> Report:
    """These counts, added up."""
    return {name: sum(report[name] for report in reports) for name in names}


def histograms(reports: Sequence[Report], *names: str) -> Report:
    """These histograms, merged."""
    return {name: histogram.merged(report[name] for report in reports).summary() for name in names}


def counters(reports: Sequence[Report], *names: str) -> Report:
    """These counts by name, added up name by name; a count of 0 stays, it was looked for."""
    whole: dict[str, Counter[str]] = {name: Counter() for name in names}
    for report in reports:
        for name, counts in whole.items():
            counts.update(report[name])
    return {name: dict(counts) for name, counts in whole.items()}


def extensions(reports: Iterable[Report]) -> str:
    """What was agreed on, "none" when nothing was; several, when servers differ from connection to connection."""
    found = sorted({text for report in reports for text in report["extensions"]})
    return " | ".join(found) or "none"


def books(reports: Sequence[Report]) -> Report:
    """Of `finish`."""
    return {
        **summed(reports, "clients", "alive", "closed", "measured", "bytes", "pings"),
        **summed(reports, "broken_promises", "unstamped"),
        **summed(reports, "reads", "updates", "memo_hits", "status_unheard"),
        **histograms(reports, "latency", "uncorrected", "loop_lag"),
        **counters(reports, "controls", "errors"),
        "account": total(Account(**report["account"]) for report in reports)._asdict(),
        "extensions": extensions(reports),
        "cpu_share": sum(report["cpu_share"] for report in reports),  # they share a core
        "first_ns": min((report["first_ns"] for report in reports if report["first_ns"]), default=0),
        "last_ns": max(report["last_ns"] for report in reports),
        "gap_ns": max(report["gap_ns"] for report in reports),
        "clock_steps": sum(report.get("clock_steps", 0) for report in reports),
        "stuck": stuck(reports),
        "timeline": timeline.merged(report.get("timeline", {}) for report in reports),
        "kept": kept([report["kept"] for report in reports if report.get("kept")]),
    }


def opened(answers: Sequence[Report]) -> Report:
    """Of `open`."""
    return {
        **summed(answers, "clients", "alive"),
        **histograms(answers, "connect"),
        "seconds": max(answer["seconds"] for answer in answers),
        "cpu_share": max(answer["cpu_share"] for answer in answers),
        "extensions": extensions(answers),
    }


def come_back(answers: Sequence[Report]) -> Report:
    """Of `come_back`: its curve is of all clients together."""
    whole = {
        **summed(answers, "clients", "returned"),
        **histograms(answers, "ready", "caught_up"),
        **counters(answers, "verdicts"),
    }
    back = [moment for answer in answers for moment in answer["back_s"]]
    return {**whole, "curve": curve(back, whole["clients"])}


def kept(reports: Sequence[Report]) -> Report | None:
    """Of who came back by itself; the moments become seconds since the first of them. None when nobody was to."""
    if not reports:
        return None
    moments = {
        name: sorted(at for report in reports for at in report[f"{name}_ns"]) for name in ("goodbye", "end")
    }
    first = min((at for found in moments.values() for at in found), default=0)
    return {
        **summed(reports, "goodbyes", "unannounced", "refused", "returns", "final"),
        **counters(reports, "verdicts"),
        **histograms(reports, "away"),
        **{f"{name}_s": [(at - first) / 1e9 for at in found] for name, found in moments.items()},
    }


def stuck(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Of those who stopped reading: their number within their process, and when each was cut."""
    return [one for report in reports for one in report.get("stuck", ())]


def status(reports: Sequence[Mapping[str, Any]]) -> Report:
    """Of `peek`: percentiles cannot be added, so those of the slowest process stand for all."""
    slowest = max(reports, key=lambda report: report["p99_ms"] or 0.0)
    counts = ("alive", "received", "measured", "closed", "doubled", "disordered")
    return {
        **{name: sum(report[name] for report in reports) for name in counts},
        "p50_ms": slowest["p50_ms"],
        "p99_ms": slowest["p99_ms"],
        **{name: max(report[name] for report in reports) for name in ("cpu_share", "loop_lag_ms")},
    }
