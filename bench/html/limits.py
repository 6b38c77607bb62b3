"""What the results do not say, and what speaks against them. It stands first on the page. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench import wording
from bench.html import words
from bench.html.markup import Markup, tag
from bench.html.questions import QUESTIONS
from bench.result import Result

ALWAYS = (
    "Everything ran on one machine over loopback: no real network, no TLS, no HTTP/2, no browser and no proxy.",
    "Microseconds and milliseconds are this machine's. Ratios to the floor travel to other machines, these do not.",
    "An interval covers the noise from run to run here. It does not cover another kernel, version or day.",
    "Each server had one core to itself and the load client another. What a server does with many cores is not said.",
)
MOST_NAMES = 3
MACHINE = ("cpu_model", "kernel", "python")


def shown(results: Sequence[Result], unread: Sequence[tuple[str, str]]) -> Markup:
    """The list. `unread` are files that could not be drawn, and why."""
    lines = [*ALWAYS, *_doubts(results), *(f"{name} is not drawn: {why}" for name, why in unread)]
    return tag("ul", *(tag("li", words.tied(line)) for line in lines))


def _doubts(results: Sequence[Result]) -> Iterator[str]:
    yield from _runs(results)
    yield from _single(results)
    yield from _noisy(results)
    yield from _stopped(results)
    yield from _machines(results)
    yield from _missing(results)


def _runs(results: Sequence[Result]) -> Iterator[str]:
    runs = [run for result in results for run in result.runs]
    void = [run for run in runs if not run.valid]
    if void:
        yield (
            f"{len(void)} of {wording.plural(len(runs), 'run')} are void or lossy: "
            "struck through below with the reason, and left out of every ratio."
        )


def _single(results: Sequence[Result]) -> Iterator[str]:
    found = [result for result in results if result.pairs == 1]
    if found:
        yield f"Measured once, so without an interval: {_named(found, results)}."


def _noisy(results: Sequence[Result]) -> Iterator[str]:
    for verdict in ("void", "noisy"):
        found = [result for result in results if verdict in (state for _, state, _ in words.noise(result))]
        if found:
            yield f"The machine was {verdict} before or after {_named(found, results)}; the reasons are with them."


def _stopped(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        if result.verdict == "incomplete":
            yield f"{words.title(result)} is incomplete: {result.stopped_by or 'it was not finished'}."


def _machines(results: Sequence[Result]) -> Iterator[str]:
    machines = {tuple(str(result.environment.get(name)) for name in MACHINE) for result in results}
    if len(machines) > 1:
        yield f"The results come from {len(machines)} different machines or systems: compare only within a result."
    if any(result.cores.get("server") is None for result in results):
        yield "Some results were made without a core for the server alone: their CPU figures mean little."
    dirty = [result for result in results if result.environment.get("git", {}).get("dirty")]
    if dirty:
        yield f"The source tree had changes that were not committed: {_named(dirty, results)}."


def _missing(results: Sequence[Result]) -> Iterator[str]:
    """Scenarios that nobody ran: their questions are open, and a page that is silent would hide that."""
    known = dict.fromkeys(scenario for question in QUESTIONS for scenario in question.scenarios)
    missing = [scenario for scenario in known if scenario not in {result.scenario for result in results}]
    if missing:
        yield f"Not measured in these files: {words.listed(missing)}."


def _named(found: Sequence[Result], results: Sequence[Result]) -> str:
    """Their titles; all and many are told by their number."""
    if len(found) > MOST_NAMES:
        return (
            f"all {len(found)} results"
            if len(found) == len(results)
            else f"{len(found)} of {len(results)} results"
        )
    return words.listed([words.title(result) for result in found])
