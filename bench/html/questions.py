"""The questions that readers come with, and what the results answer, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bench import figures
from bench.comparison import BASE, Family, all_compared, families, main_target
from bench.html import words
from bench.html.charts import memory
from bench.html.knee import knee
from bench.result import Result, Run
from bench.statistics import stats
from bench.statistics.decision import Wording, decide
from bench.wording import sentence


class Said(NamedTuple):
    """A sentence, and the target that it is about."""

    target: str
    text: str


Sentences = Callable[[Result], Iterator[Said]]

# What the targets are compared by, in each scenario that answers for it.
ELSEWHERE = {
    "fanout": ("us_per_delivery",),
    "burst": ("us_per_delivery",),
    "idle": ("kb_per_connection",),
    "storm": ("us_per_connect", "us_per_subscription"),
}
HARM = Wording("gives the healthy ones", "latency at p99")


class Question(NamedTuple):
    """`scenarios` are those that can answer it; `answer` makes the sentences of one result."""

    text: str
    scenarios: tuple[str, ...]
    answer: Sentences


class Answer(NamedTuple):
    """What a result says to a question: about its main target, and about the others."""

    own: tuple[str, ...]
    others: tuple[str, ...]


def answer(question: Question, result: Result) -> Answer | None:
    """None when the result has nothing to say to it."""
    said = list(question.answer(result)) if result.scenario in question.scenarios else []
    main = main_target(result)
    own = tuple(one.text for one in said if one.target == main)
    others = tuple(one.text for one in said if one.target != main)
    return Answer(own, others) if said else None


def _compared(result: Result, names: Sequence[str], wanted: Callable[[Family], bool]) -> Iterator[Said]:
    for family in families(result):
        if wanted(family):
            yield from (
                Said(family.target, sentence(one))
                for found in all_compared(result, family)
                for one in found
                if one.figure.name in names
            )


def _transports(*names: str) -> Sentences:
    """Transports against SSE."""
    return lambda result: _compared(result, names, lambda family: family.against == BASE)


def _targets(result: Result) -> Iterator[Said]:
    """The main target against the others, by what a scenario is about."""
    return _compared(result, ELSEWHERE[result.scenario], lambda family: family.against != BASE)


def _values(*names: str) -> Sentences:
    """What each row did, as means over the runs that count."""

    def say(result: Result) -> Iterator[Said]:
        for row in result.rows:
            runs = result.of(row["key"])
            clean = [run for run in runs if run.valid]
            told = ", ".join(_told(clean, names))
            if told:
                yield Said(row["target"], f"{row['key']}: {told} ({_basis(clean, runs)}).")
            elif runs and not clean:
                why = f"every run is void or lossy ({words.faults(runs[0])})"
                yield Said(row["target"], f"{row['key']}: not answered, {why}.")

    return say


def _told(runs: Sequence[Run], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        values = [run.figures[name] for run in runs if name in run.figures]
        if values:
            yield f"{figures.of(name).title} {figures.of(name).text(stats.mean(values))}"


def _basis(clean: Sequence[Run], runs: Sequence[Run]) -> str:
    mean = "one run" if len(clean) == 1 else f"mean of {len(clean)} runs"
    missing = len(runs) - len(clean)
    return f"{mean}, {missing} void or lossy left out" if missing else mean


def _knees(result: Result) -> Iterator[Said]:
    for row in result.rows:
        found = knee(result, row["key"])
        if found is not None:
            yield Said(row["target"], f"{found.row}: {found.text}.")


def _idle(result: Result) -> Iterator[Said]:
    """Slopes first, then how the transports compare."""
    for row in result.rows:
        runs = [run for run in result.of(row["key"]) if len(memory.points(run)) >= memory.LEAST_POINTS]
        found = memory.slope(row["key"], runs)
        if found is not None:
            yield Said(row["target"], f"{found.row}: {found.text}, {found.origin}.")
    yield from _transports("kb_per_connection", "idle_us_per_connection_second")(result)


def _harm(result: Result) -> Iterator[Said]:
    """p99 of the healthy beside a stuck client, against before: pairs within a run."""
    for row in result.rows:
        runs = [run.figures for run in result.of(row["key"]) if run.valid]
        both = [(one.get("healthy_p99_ms", 0), one.get("healthy_p99_before_ms", 0)) for one in runs]
        if both and min(map(min, both)) > 0:
            ratio = stats.paired_ratio([beside for beside, _ in both], [before for _, before in both])
            told = decide(ratio, HARM, "a stuck client", "without it").words
            yield Said(row["target"], f"{row['key']}: {told}.")
    yield from _values("memory_growth_kb", "stuck_seconds")(result)


QUESTIONS = (
    Question(
        "Which transport costs the server more CPU?",
        ("fanout", "burst", "soak"),
        _transports("us_per_delivery"),
    ),
    Question("Which delivers sooner?", ("fanout",), _transports("p50_ms", "p99_ms")),
    Question("Which puts more on the wire?", ("fanout",), _transports("bytes_per_delivery")),
    Question("What does an idle connection hold?", ("idle",), _idle),
    Question("How far does it go?", ("fanout", "burst"), _knees),
    Question(
        "What does a crowd cost that comes in?",
        ("storm",),
        _transports(
            "us_per_connect", "connects_per_second", "us_per_subscription", "subscriptions_per_second"
        ),
    ),
    Question(
        "Who comes back after a drop, and with what lost?",
        ("reconnect",),
        _values("returned_share", "recovered_share", "lost_per_client", "return_p50_ms", "return_p99_ms"),
    ),
    Question("Does a stuck reader harm the others?", ("slow",), _harm),
    Question(
        "What does a broker or a database that dies cost?",
        ("outage",),
        _values("lost_per_client", "stalled_seconds", "recovered_seconds"),
    ),
    Question(
        "How does a server leave?",
        ("drain",),
        _values("exit_seconds", "exit_status", "goodbye_share", "returned_share", "lost_per_client"),
    ),
    Question("Does it drift?", ("soak",), _values("pss_kb_per_minute", "p99_drift_ms_per_minute")),
    Question(
        "What does a durable publish cost?",
        ("publish",),
        _values("p50_ms", "fsync_p50_ms", "beyond_fsync_ms", "us_per_publish", "publishes_per_second"),
    ),
    Question(
        "What does it cost against other servers?",
        tuple(ELSEWHERE),
        _targets,
    ),
)
