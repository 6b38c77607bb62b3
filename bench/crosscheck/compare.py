"""Whether the bench and the C tool agree: they measure the same target in turn, each run against a fresh server.

    python -m bench.crosscheck.compare --target app --transport sse --clients 1000 --rate 20 --pairs 3

Exit codes: 0 they agree, 1 they do not, 2 no pair was undisturbed, 3 not measured.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from bench import output, preflight
from bench.command import Number, as_usage
from bench.crosscheck.agreement import (
    AWAKE,
    INSTRUMENTS,
    LIMITS,
    Made,
    Sample,
    agreements,
    exit_code,
    of_waking,
    waking_words,
)
from bench.errors import EXIT_INTERRUPTED, EXIT_LOSS, EXIT_OK, EXIT_VOID, BenchError, Environment, Unheard
from bench.matrix import MOST_PAIRS, MOST_SEED
from bench.measure import cores
from bench.result_file import check_folder
from bench.scenarios import plan as plans
from bench.scenarios.fanout import Fanout
from bench.serving import target
from bench.serving.server import Server

ALLOWED = plans.bounds(Fanout)
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOOL = HERE / "build" / "crosscheck"
OTHERS_VOID = 0.30  # share of the server's core, as in the bench


class Plan(NamedTuple):
    """What both instruments do: `rate` publishes a second of `size` bytes to `clients` clients for `seconds`."""

    target: str
    transport: str
    clients: int
    rate: float
    seconds: float
    size: int


def by_bench(plan: Plan, seed: int, awake: bool = False) -> Sample:
    """One run of the bench, as a command line: all that is known of it here is that line and its result file."""
    command = [sys.executable, "-m", "bench", "run", "fanout", "--pairs", "1", "--seed", str(seed)]
    command += ["--target", plan.target, "--transport", plan.transport, "--subs", str(plan.clients)]
    command += ["--rate", f"{plan.rate:g}", "--seconds", f"{plan.seconds:g}", "--size", str(plan.size)]
    command += ["--awake", "true"] if awake else []
    with tempfile.TemporaryDirectory(prefix="crosscheck-") as out:
        done = subprocess.run([*command, "--out", out], cwd=ROOT, capture_output=True, text=True, check=False)
        found = list(Path(out).glob("*.json"))
        if done.returncode not in (EXIT_OK, EXIT_LOSS, EXIT_VOID) or len(found) != 1:
            raise Environment(f"the bench made no result ({done.returncode}): {last_line(done.stderr)}")
        document = json.loads(found[0].read_text(encoding="utf-8"))
    (run,) = document["runs"]
    doubts = [flag["message"] for flag in run["flags"] if flag["severity"] in ("void", "loss")]
    if document["verdict"] == "void" and not doubts:
        doubts.append("the bench found this machine too restless: see `noise`")
    facts = {name: document.get(name) for name in ("command", "environment", "noise")}
    return Sample({name: run["figures"][name] for name in LIMITS}, doubts, {"run": run, **facts})


def by_crosscheck(plan: Plan, pinned: cores.Cores, awake: bool = False) -> Sample:
    """One run of the C tool against a server that the bench's own Server starts."""
    with Server(target.by_name(plan.target), "log", pinned.server) as server:
        command = [str(TOOL), "--host", server.host, "--port", str(server.port), "--pid", str(server.pid)]
        command += ["--transport", plan.transport, "--clients", str(plan.clients), "--rate", f"{plan.rate:g}"]
        command += ["--seconds", f"{plan.seconds:g}", "--size", str(plan.size)]
        command += ["--stream", target.STREAM, "--token", target.TOKEN]
        command += [] if pinned.client is None else ["--core", str(pinned.client)]
        command += ["--awake"] if awake else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (EXIT_OK, EXIT_LOSS, EXIT_VOID):
        raise Environment(f"the C tool measured nothing ({done.returncode}): {last_line(done.stderr)}")
    found = json.loads(done.stdout)
    return Sample({name: found[name] for name in LIMITS}, doubts(found, done.returncode, done.stderr), found)


def doubts(found: Mapping[str, float], status: int, said: str) -> list[str]:
    """Why a run of the C tool means nothing: from its figures, its exit code and its stderr."""
    why = []
    if status == EXIT_LOSS:
        books = (f"{found[name]:.0f} {name}" for name in ("lost", "doubled", "disordered", "closed"))
        why.append(", ".join(books))
    if status == EXIT_VOID:
        why.append(last_line(said))
    if found["server_core_others"] > OTHERS_VOID:
        others = f"others used {found['server_core_others']:.0%} of the server's core"
        why.append(f"{others}: stop them and run again")
    return why


def last_line(text: str) -> str:
    """What a program said at its end."""
    return text.strip().rpartition("\n")[2] or "it said nothing"


def build() -> None:
    """Make the C tool when it is older than its source."""
    if shutil.which("make") is None or shutil.which("cc") is None:
        raise Environment("the C tool needs a compiler: install one (Debian: apt install gcc libc6-dev make)")
    done = subprocess.run(["make", "-s", "-C", str(HERE)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Environment(f"the C tool does not build: {last_line(done.stderr)}")


def interleaved(instruments: Mapping[str, Callable[[], Sample]], pairs: int, seed: int) -> Iterator[Made]:
    """Every instrument once in each pair, in an order that the seed decides."""
    chance = random.Random(seed)
    for pair in range(pairs):
        for name in chance.sample(sorted(instruments), len(instruments)):
            yield Made(pair, name, instruments[name]())


def document(plan: Plan, seed: int, pinned: cores.Cores, made: Sequence[Made]) -> dict[str, Any]:
    """Everything that was seen. It is no result file of the bench and cannot be taken for one."""
    return {
        "crosscheck_version": 1,
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": ["python", "-m", "bench.crosscheck.compare", *sys.argv[1:]],
        "seed": seed,
        "plan": plan._asdict(),
        "cores": pinned._asdict(),
        "runs": [
            {"pair": one.pair, "order": order, "instrument": one.instrument, **one.sample._asdict()}
            for order, one in enumerate(made)
        ],
        "agreement": [
            {
                **one._asdict(),
                **one.ratio._asdict(),
                "ratio": " / ".join(one.instruments),
                "reached": one.reached,
            }
            for one in agreements(made)
        ],
        "waking": {name: found._asdict() for name, found in of_waking(made).items()},
    }


def write(found: dict[str, Any], out: Path) -> Path:
    """Write it under a name that sorts by time; answers where."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{found['created_at'].replace(':', '').replace('-', '')}-crosscheck.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return path


def run(plan: Plan, pairs: int, seed: int, out: Path, awake: bool = False) -> int:
    """Measure, tell, write; answers the exit code. Ctrl-C keeps what was measured."""
    preflight.check([preflight.named(plan.target).speaking(plan.transport)])
    check_folder(out)
    build()
    allowed = os.sched_getaffinity(0)
    pinned = cores.choose()
    os.sched_setaffinity(
        0, allowed
    )  # choosing moved us to one core, and the bench that we start must choose too
    instruments: dict[str, Callable[[], Sample]] = {}
    for (ours, theirs), form in ((INSTRUMENTS, False), (AWAKE, True))[: 1 + awake]:
        instruments[ours] = partial(by_bench, plan, seed, form)
        instruments[theirs] = partial(by_crosscheck, plan, pinned, form)
    made: list[Made] = []
    status = None
    try:
        for one in interleaved(instruments, pairs, seed):
            made.append(one)
            output.tell(one.words())
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    path = write(document(plan, seed, pinned, made), out)
    found = agreements(made)
    for words in [one.words() for one in found] or ["no pair was undisturbed: nothing is judged"]:
        output.say(words)
    for name, ratio in of_waking(made).items():
        output.say(waking_words(name, ratio))
    output.tell(f"raw data in {path}")
    return exit_code(found) if status is None else status


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--target", default="floor", show_default=True, help="As in `python -m bench`.")
@click.option("--transport", type=click.Choice(["sse", "cable"]), default="sse", show_default=True)
@click.option("--clients", type=Number(int, ALLOWED["clients"]), default=1000, show_default=True)
@click.option(
    "--rate",
    type=Number(float, ALLOWED["rates"]),
    default=20.0,
    show_default=True,
    help="Publishes a second.",
)
@click.option(
    "--seconds",
    type=Number(float, ALLOWED["seconds"]),
    default=10.0,
    show_default=True,
    help="Measured window of a run.",
)
@click.option(
    "--size",
    type=Number(int, ALLOWED["size"]),
    default=350,
    show_default=True,
    help="Bytes of JSON in an update.",
)
@click.option(
    "--pairs",
    type=click.IntRange(1, MOST_PAIRS),
    default=3,
    show_default=True,
    help="Times that each instrument measures.",
)
@click.option(
    "--awake", is_flag=True, help="Also both as receivers that never sleep: four runs in each pair."
)
@click.option(
    "--seed",
    type=click.IntRange(0, MOST_SEED),
    default=None,
    help="Order of the runs; random and printed by default.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("crosscheck-results"), show_default=True)
def main(pairs: int, seed: int | None, out: Path, awake: bool, **plan: Any) -> None:
    """Whether the bench and a second instrument in C agree on CPU per delivery and on the median latency."""
    with as_usage():
        preflight.named(plan["target"])
        plans.check_schedule(plan["rate"], plan["seconds"])
    chosen = random.randrange(1_000_000) if seed is None else seed
    output.tell(f"seed {chosen}")
    try:
        status = run(Plan(**plan), pairs, chosen, out, awake)
    except BenchError as error:
        if str(error):
            output.tell(f"{'' if isinstance(error, Unheard) else 'cannot measure: '}{error}")
        status = error.exit_code
    sys.exit(status)


if __name__ == "__main__":
    output.prepare()
    main()
