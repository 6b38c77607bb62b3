"""bench/tallies.py: counts over two runs of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import result, tallies
from tests.bench import results as made


def gate(verdict: str, spin_cov: float, steal_share: float = 0.0) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "spin_cov": spin_cov,
        "jitter_p99_us": 1.0,
        "steal_share": steal_share,
        "load": 0.0,
        "reasons": [],
    }


def measured(cable: float, before: dict[str, Any], after: dict[str, Any]) -> result.Result:
    runs = [
        one
        for transport, value in (("sse", 10.0), ("cable", cable))
        for one in made.series("app", transport, "us_per_delivery", [value, value * 1.01, value * 0.99])
    ]
    return made.result(*runs, id="fanout", noise={"before": before, "after": after})


def test_how_often_two_runs_agree_and_how_often_the_machine_was_quiet(tmp_path: Path) -> None:
    quoted = measured(10.0, gate("quiet", 0.02), gate("noisy", 0.271))
    result.write(quoted, tmp_path / tallies.QUOTED)
    again = measured(20.0, gate("quiet", 0.05), gate("noisy", 0.04, steal_share=0.0168))
    result.write(again, tmp_path / tallies.AGAIN)
    result.write(quoted, tmp_path / "other")
    found = tallies.load(tmp_path)
    assert (found["ratios"], found["ratios-alike"], found["ratios-apart"]) == ("1", "0", "1")
    assert (found["figures"], found["figures-apart"]) == ("2", "1"), "cable took twice as much, SSE the same"
    assert (found["gates"], found["gates-quiet"], found["gates-uneven"]) == ("4", "2", "1")
    assert (found["gates-spread"], found["gates-steal"]) == ("27 %", "1.7 %")
