"""What makes a run worthless, or a server wrong. Pure: facts in, flags with a reason out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.errors import EXIT_LOSS, EXIT_OK, EXIT_VOID
from bench.load.ledger import Account
from bench.statistics import consistency
from bench.statistics.steady import halves, is_steady

CLIENT_FULL = 0.80
FOREIGN_NOISY, FOREIGN_VOID = 0.05, 0.30
LATE_PUBLISH_MS = 20.0
LOOP_LAG_MS = 250.0
STEADY_FROM, STEADY_TOLERANCE = 4, 0.25  # samples
STEADY_FROM_MS = 400.0  # of CPU: ticks of 10 ms are coarse
SAMPLES_SHORT_SECONDS = 5.0
SHARED_READS, UNSTAMPED_READS = 0.01, 0.01
LITTLE_TOLERANCE = 0.10  # clients begin and end within the window


class Flag(NamedTuple):
    """`severity` is "loss" (the server is wrong), "void" (the number means nothing) or "warn"."""

    severity: str
    code: str
    message: str


def judge(load: Mapping[str, Any], published: Mapping[str, Any], foreign: Mapping[str, float]) -> list[Flag]:
    """All flags of one run: `load` as of LoadClients.finish, `published` as of Published.summary, `foreign` the
    share of each pinned core that neither the server nor the bench used."""
    return [*_losses(load, published), *_voids(load, published), *neighbours(foreign)]


def _losses(load: Mapping[str, Any], published: Mapping[str, Any]) -> Iterable[Flag]:
    account = Account(**load["account"])
    if not account.clean:
        what = f"{account.lost} lost, {account.doubled} doubled, {account.disordered} disordered"
        yield Flag("loss", "sequence", f"{what} of {account.expected}")
    if load["closed"]:
        yield Flag(
            "loss", "closed", f"the server closed {load['closed']} connections: {list(load['errors'])[:2]}"
        )
    if published["refused"]:
        yield Flag("loss", "refused", f"{published['refused']} publishes were not answered with 201")


def _voids(load: Mapping[str, Any], published: Mapping[str, Any]) -> Iterable[Flag]:
    if load["unstamped"] > UNSTAMPED_READS * load["reads"]:
        yield Flag("void", "stamps", f"the kernel did not stamp {load['unstamped']} reads")
    if load["latency"]["negative"] or load["uncorrected"]["negative"]:
        yield Flag("void", "clock", "an update was received before it was sent")
    if load.get("clock_steps"):
        yield Flag("void", "clock", f"the wall clock jumped {load['clock_steps']} times: stop what sets it")
    yield from of_client(load["cpu_share"])
    if load["loop_lag"]["p99"] > LOOP_LAG_MS:
        yield Flag("void", "loop", f"the load client's loop lagged {load['loop_lag']['p99']:.0f} ms at p99")
    late = published["own_delay"]["p99"]
    if late > LATE_PUBLISH_MS:
        yield Flag("void", "publisher", f"the publisher itself was {late:.0f} ms late at p99")


def of_client(share: float) -> list[Flag]:
    """A load client that is busy itself measures itself."""
    if share <= CLIENT_FULL:
        return []
    words = f"the load client used {share:.0%} of its core (limit {CLIENT_FULL:.0%})"
    return [Flag("void", "client", words)]


def of_publisher(share: float) -> list[Flag]:
    """A publisher that is busy itself finds no more than a lower bound of what a server takes."""
    if share <= CLIENT_FULL:
        return []
    words = f"the publisher used {share:.0%} of its core: the server takes so many at least"
    return [Flag("warn", "publisher", words)]


def of_promises(load: Mapping[str, Any]) -> list[Flag]:
    """Who was told `recovered` every time has to have everything."""
    broken = load["broken_promises"]
    return [Flag("loss", "promise", f"{broken} lost at clients that were told `recovered`")] if broken else []


def of_returns(returned: int, clients: int) -> list[Flag]:
    """All have to come back."""
    away = clients - returned
    return [Flag("loss", "away", f"{away} of {clients} clients did not come back")] if away else []


def of_stamps(load: Mapping[str, Any]) -> list[Flag]:
    """Updates that came in one read have the moment of the last of them."""
    shared = 1 - load["reads"] / max(1, load["updates"])
    if shared <= SHARED_READS:
        return []
    return [
        Flag(
            "warn", "reads", f"{shared:.0%} of the updates were read with others: they count as late as those"
        )
    ]


def neighbours(foreign: Mapping[str, float]) -> Iterable[Flag]:
    """Flags for cores that were not ours alone."""
    for core, share in foreign.items():
        if share > FOREIGN_VOID:
            yield Flag(
                "void", "neighbour", f"others used {share:.0%} of the {core} core: stop them and run again"
            )
        elif share > FOREIGN_NOISY:
            yield Flag("warn", "neighbour", f"others used {share:.0%} of the {core} core")


def of_cores(server: int | None, client: int | None) -> list[Flag]:
    """Server and load have to have a core each, or each waits for the other."""
    if server is not None and client is not None and server != client:
        return []
    return [Flag("void", "cores", "server and load shared a core: two are needed")]


def of_load(load: Mapping[str, Any], published: Mapping[str, Any], *, sequence: bool = True) -> list[Flag]:
    """What a run's load says, without neighbours. `sequence` off: what was lost is the finding, not the fault."""
    losses = [flag for flag in _losses(load, published) if sequence or flag.code != "sequence"]
    return [*losses, *_voids(load, published)]


def of_wire(transport: str, load: Mapping[str, Any]) -> list[Flag]:
    """What was negotiated has to be what the row is called."""
    compressed = load.get("extensions", "none") != "none"
    if compressed == transport.endswith("+deflate"):
        return []
    return [Flag("void", "extensions", f"{transport} negotiated {load.get('extensions', 'none')!r}")]


def of_server(stopped_by_force: bool) -> list[Flag]:
    """How the server ended."""
    return [Flag("warn", "stop", "the server ignored SIGTERM and was killed")] if stopped_by_force else []


def of_spread(processes: int, spread: Sequence[int]) -> list[Flag]:
    """What is told of several processes has to be of so many: `spread` is how many clients each of them had, those
    without any left out; empty when it was not looked at."""
    if not spread or len(spread) >= processes:
        return []
    return [Flag("void", "spread", f"{len(spread)} of {processes} processes had clients: run it again")]


def left(count: int) -> list[Flag]:
    """Clients that the server let go although nothing was asked of them."""
    return [Flag("loss", "closed", f"the server closed {count} idle connections")] if count > 0 else []


def once_each(account: Mapping[str, int]) -> list[Flag]:
    """Each update once, in whatever order: for publishes that overtake each other."""
    if not account["lost"] and not account["doubled"]:
        return []
    what = f"{account['lost']} lost, {account['doubled']} doubled of {account['expected']}"
    return [Flag("loss", "sequence", what)]


def in_order(account: Mapping[str, int], allowed_twice: int = 0) -> list[Flag]:
    """Nothing twice (but what the publisher itself may have published twice) and nothing out of order."""
    if account["doubled"] <= allowed_twice and not account["disordered"]:
        return []
    return [Flag("loss", "sequence", f"{account['doubled']} doubled, {account['disordered']} disordered")]


def refused(count: int) -> list[Flag]:
    """Publishes without a 201."""
    what = f"{count} publishes were refused or left without an answer"
    return [Flag("loss", "refused", what)] if count else []


def closed_loop(rate: float, mean_seconds: float, in_flight: int) -> list[Flag]:
    """Little's law: rate x mean time is the number in flight, which cannot be more than there were."""
    if not in_flight:
        return []
    share = consistency.littles_law(rate, mean_seconds, in_flight)
    if share <= 1 + LITTLE_TOLERANCE:
        return []
    words = f"by Little's law {share * in_flight:.0f} were in flight, but at most {in_flight} can have been"
    return [Flag("void", "little", words)]


def of_series(series: Mapping[str, Any]) -> list[Flag]:
    """Histograms that contradict themselves."""
    return [
        Flag("void", "contradiction", f"{name}: {words}")
        for name, summary in series.items()
        for words in consistency.contradictions(summary)
    ]


def steady(samples: Mapping[str, Any]) -> list[Flag]:
    """A window whose halves cost differently was begun too early, or is not alone. `samples` as of the sampler, in
    which memory is not read while the window is open."""
    columns = list(samples["columns"])
    pss, user, system = (columns.index(name) for name in ("pss_kb", "user_ms", "system_ms"))
    costs = [row[user] + row[system] for row in samples["rows"] if row[pss] is None][1:-1]
    if len(costs) < STEADY_FROM or sum(costs) < STEADY_FROM_MS or is_steady(costs, STEADY_TOLERANCE):
        return []
    return [Flag("warn", "unsteady", f"the second half of the window cost {halves(costs):.2f} x the first")]


def whole(samples: Mapping[str, Any], seconds: float) -> list[Flag]:
    """A series that ends before the window of so many seconds does tells of a part of it."""
    end = samples["rows"][-1][list(samples["columns"]).index("t_s")] if samples["rows"] else 0.0
    if end >= seconds - SAMPLES_SHORT_SECONDS:
        return []
    return [
        Flag("warn", "samples", f"the samples end after {end:.0f} of {seconds:.0f} s: drift is of that part")
    ]


def machine(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    """Why the noise gate voids a whole result."""
    found = [("before", before), ("after", after)]
    return [
        f"the machine was not quiet {when}: {'; '.join(noise['reasons'])}"
        for when, noise in found
        if noise is not None and noise["verdict"] == "void"
    ]


OWN_LIMITS = {"client", "loop", "publisher"}  # of the bench itself: they end a sweep


def telling(flags: Iterable[Flag]) -> bool:
    """Whether a run says something about its rate: it is clean, or wrong, or beyond what the bench itself can do."""
    return all(flag.severity != "void" or flag.code in OWN_LIMITS for flag in flags)


def exit_code(flags: Iterable[Flag]) -> int:
    """1 when a server was wrong, else 2 when a run is void, else 0."""
    severities = {flag.severity for flag in flags}
    if "loss" in severities:
        return EXIT_LOSS
    return EXIT_VOID if "void" in severities else EXIT_OK
