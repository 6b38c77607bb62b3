"""bench/results: a figure that is quoted is what the raw parts of its run say, so that neither is changed alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from bench import claims
from bench.statistics.histogram import Histogram

FILES = [
    path.relative_to(claims.RESULTS).as_posix()
    for path in sorted(claims.RESULTS.rglob("*.json"))
    if path.parent.name != "crosscheck"
]


def runs(file: str, *, of: str) -> Iterator[dict[str, Any]]:
    """The runs of a file that have this figure."""
    document = orjson.loads((claims.RESULTS / file).read_bytes())
    yield from (run for run in document["runs"] if of in run["figures"])


@pytest.mark.parametrize("file", FILES)
def test_cpu_and_bytes_are_those_that_were_counted(file: str) -> None:
    for run in runs(file, of="us_per_delivery"):
        used, load = run["facts"]["usage"]["server"], run["facts"]["load"]
        assert run["figures"]["us_per_delivery"] == pytest.approx(used["cpu_ns"] / 1000 / load["measured"])
        assert run["figures"]["bytes_per_delivery"] == pytest.approx(load["bytes"] / load["measured"])


@pytest.mark.parametrize("file", FILES)
def test_memory_is_the_slope_of_what_was_weighed(file: str) -> None:
    for run in runs(file, of="idle_us_per_connection_second"):
        weights = [(count, pss) for count, pss, *_ in run["facts"]["memory"] if count >= 1000]
        slope = run["facts"]["fit"]["slope"]
        middle = [sum(column) / len(weights) for column in zip(*weights, strict=True)]
        away = [(count - middle[0], pss - middle[1]) for count, pss in weights]
        assert slope == pytest.approx(sum(x * y for x, y in away) / sum(x * x for x, _ in away))
        assert run["figures"]["kb_per_connection"] == pytest.approx(slope)


@pytest.mark.parametrize("file", ["headline/fanout.json", "peers/fanout.json"])
def test_percentiles_are_those_of_the_histogram(file: str) -> None:
    for run in runs(file, of="p50_ms"):
        whole = Histogram.decode(run["series"]["latency"]["hdr"])
        assert whole.count == run["facts"]["load"]["measured"]
        assert [run["figures"][name] for name in ("p50_ms", "p99_ms")] == [whole.at(50), whole.at(99)]
