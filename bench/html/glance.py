"""The strips at the top: the few figures that a decision turns on, from all results together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.comparison import Family, all_compared, families, main_target
from bench.html import words
from bench.html.charts import strip
from bench.html.charts.strip import Lane
from bench.html.looks import Legend
from bench.html.markup import Markup, joined
from bench.html.picture import Source, shown

HEADLINES = {
    "fanout": ("us_per_delivery", "us_per_write", "p50_ms", "p99_ms", "bytes_per_delivery"),
    "burst": ("us_per_delivery",),
    "idle": ("kb_per_connection", "idle_us_per_connection_second"),
    "storm": (
        *("us_per_connect", "connects_per_second"),
        *("us_per_subscription", "subscriptions_per_second"),
    ),
    "reconnect": ("return_p99_ms",),
    "slow": ("healthy_p99_ms",),
    "outage": ("recovered_seconds",),
    "drain": ("exit_seconds",),
    "soak": ("us_per_delivery", "us_per_write", "p99_ms"),
    "publish": ("us_per_publish", "p50_ms", "publishes_per_second"),
}


def strips(sources: Sequence[Source], legend: Legend) -> Markup:
    """A strip for each family of comparisons of a main target; those of the others are in the results' sections."""
    found = [
        (source, family)
        for source in sources
        for family in families(source.result)
        if family.target == main_target(source.result)
    ]
    titles = dict.fromkeys(family.title for _, family in found)
    return joined(_strip([pair for pair in found if pair[1].title == title], legend) for title in titles)


def _strip(found: Sequence[tuple[Source, Family]], legend: Legend) -> Markup:
    lanes = {source.name: list(_lanes(source, family)) for source, family in found}
    every = [lane for own in lanes.values() for lane in own]
    if not every:
        return Markup("")
    family = found[0][1]
    picture = strip.of(family.title, family.against, every, legend)
    return shown(picture, legend, [source for source, _ in found if lanes[source.name]], "h3")


def _lanes(source: Source, family: Family) -> Iterator[Lane]:
    wanted = HEADLINES.get(source.result.scenario, ())
    for found in all_compared(source.result, family):
        if found[0].figure.name in wanted:
            yield strip.lane(found, words.title(source.result))
