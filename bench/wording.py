"""Comparisons as sentences that can be quoted, the same on a terminal and on the page. Pure."""

from __future__ import annotations

from bench import figures
from bench.comparison import Compared
from bench.statistics.decision import Wording, decide

WORDINGS = {
    "us_per_delivery": Wording("costs", "CPU per delivery"),
    "us_per_write": Wording("costs", "CPU per write"),
    "p50_ms": Wording("has", "latency at p50"),
    "p99_ms": Wording("has", "latency at p99"),
    "bytes_per_delivery": Wording("sends", "bytes per delivery", countable=True),
    "kb_per_connection": Wording("holds", "memory per connection"),
    "idle_us_per_connection_second": Wording("burns", "CPU per idle connection"),
    "connects_per_second": Wording("takes in", "clients per second", countable=True),
    "us_per_connect": Wording("costs", "CPU per connect"),
    "subscriptions_per_second": Wording("confirms", "clients per second", countable=True),
    "us_per_subscription": Wording("costs", "CPU per confirmed client"),
    "return_p99_ms": Wording("needs", "time until clients caught up again (p99)"),
    "us_per_publish": Wording("costs", "CPU per publish"),
    "publishes_per_second": Wording("acknowledges", "publishes per second", countable=True),
}


def wording(figure: str) -> Wording:
    """How a figure is spoken of."""
    return WORDINGS.get(figure) or Wording("has", figures.of(figure).title)


def sentence(found: Compared) -> str:
    """A comparison in words, with what was left out of it."""
    ours, theirs = found.comparison.ours, found.comparison.theirs
    if found.ratio is None:
        return f"{found.figure.title}, {ours} / {theirs}: not answered, {found.why}."
    left_out = f" {plural(found.left_out, 'void or lossy pair')} left out." if found.left_out else ""
    return f"{decide(found.ratio, wording(found.figure.name), ours, theirs).words}.{left_out}"


def plural(count: int, word: str) -> str:
    """ "1 run", "7 runs"."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
