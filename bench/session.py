"""One command that measures: look at the machine, make the runs, keep each at once, choose the verdict."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from bench import preflight, result, suite, text
from bench.errors import (
    EXIT_ENVIRONMENT,
    EXIT_INTERRUPTED,
    EXIT_LOSS,
    EXIT_OK,
    EXIT_VOID,
    BenchError,
    Environment,
)
from bench.live import NOBODY, Live
from bench.measure import environment, noise, slo, validity
from bench.measure.cores import choose
from bench.measure.validity import Flag
from bench.result import Result, Run
from bench.result_file import ResultFile, check_folder
from bench.scenarios import Scenario
from bench.scenarios import plan as plans
from bench.stage import Setup
from bench.suite import Budget, Cell, Step

STOPS = (signal.SIGINT, signal.SIGTERM)
VARYING = {"loadavg"}  # of an environment, from one moment to the next
CODES = {
    "ok": EXIT_OK,
    "loss": EXIT_LOSS,
    "slo": EXIT_LOSS,
    "void": EXIT_VOID,
    "incomplete": EXIT_ENVIRONMENT,
}


@dataclass(frozen=True)
class Options:
    """How to measure, whatever is measured. After `within` seconds no pair is begun that would end later; `id` names
    the file (else the moment does), `resume` goes on with what an interrupted session of that name left."""

    pairs: int
    seed: int
    out: Path
    label: str | None = None
    within: float | None = None
    id: str | None = None
    resume: bool = False
    command: Sequence[str] = field(default_factory=lambda: ["python", "-m", "bench", *spelt(sys.argv[1:])])
    gated: bool = True  # look at the machine's noise before and after


def spelt(words: Sequence[str]) -> list[str]:
    """A command line as JSON can have it: bytes that are no UTF-8 (of a folder's name) are spelt out."""
    return [os.fsencode(word).decode(errors="backslashreplace") for word in words]


class Session:
    """Every cell in every pair. `result` has what was measured so far, whatever happens, and `kept` the file it is in.

    `tell` hears how it goes, `on_run` is called with each run once it is kept. The constructor starts nothing, and
    raises Environment for what cannot be measured here, or not be kept.
    """

    def __init__(
        self,
        scenario: Scenario,
        plan: Any,
        cells: Sequence[Cell],
        options: Options,
        *,
        live: Live = NOBODY,
        tell: Callable[[str], None] = lambda words: None,
        on_run: Callable[[Run], None] = lambda run: None,
    ) -> None:
        self.scenario, self.cells, self.options = scenario, cells, options
        self._live, self._tell, self._on_run = live, tell, on_run
        slo.parse(getattr(plan, "slo", ""))
        environment.check(scenario.connections(plan))
        targets = list({cell.target.name: cell.target for cell in cells}.values())
        self.plan, self._words = scenario.prepare(plan, targets)
        self._cores, self._code = choose(), environment.code()
        self.result, self.kept = self._begun(), ResultFile(options.out, tell)
        if self.result.finished_at is None:
            preflight.check(targets)
            check_folder(options.out)

    def perform(self) -> Result:
        """Measure. Ctrl-C, SIGTERM and errors end it early; the verdict and `stopped_by` say so."""
        made, cores = self.result, self._cores
        if made.finished_at is not None:
            self._tell(f"it is there: {made.verdict}")
            return made
        if self._words:
            self._tell(self._words)
        self._tell(f"seed {made.seed}, server on core {cores.server}, load on core {cores.client}")
        with self._kept():
            if made.noise["before"] is None:
                made.noise["before"] = self._listen()
            self._measure()
            self._same_code()
            made.noise["after"] = self._listen()
            made.finished_at = result.now()
            made.verdict = verdict(made)
        return made

    # ---- the document

    def _begun(self) -> Result:
        options = self.options
        fresh = Result(
            id=options.id or unused(new_id(self.scenario, self.plan, options.seed), options.out),
            scenario=self.scenario.name,
            command=options.command,
            seed=options.seed,
            pairs=options.pairs,
            plan=plans.to_json(self.plan),
            rows=[row(cell) for cell in self.cells],
            cores=self._cores._asdict(),
            environment=environment.fingerprint(Path(tempfile.gettempdir())),
            label=options.label,
            created_at=result.now(),
        )
        path = options.out / f"{fresh.id}.json"
        if not options.resume or not path.exists():
            return fresh
        return continued(result.read(path), fresh)

    # ---- the runs

    def _measure(self) -> None:
        made, started, budget = self.result, time.monotonic(), Budget(self.options.within)
        done = {(run.pair, run.row) for run in made.runs}
        for steps in suite.remaining(suite.order(self.cells, made.pairs, made.seed), done):
            if not budget.allows(time.monotonic() - started):
                self._tell(f"another pair would not end within {self.options.within:.0f} s")
                return
            begun = time.monotonic()
            for step in steps:
                done.add((step.pair, step.cell.key))
                self._step(step, len(done))
            budget.took(time.monotonic() - begun)

    def _step(self, step: Step, number: int) -> None:
        total = len(self.cells) * self.result.pairs
        self._live.tell("session", step=number, total=total, row=step.cell.key, pair=step.pair)
        begun, started_at = time.monotonic(), result.now()
        setup = Setup(step.cell.target, step.cell.transport, step.pair, self._cores, self._live)
        runs = self.scenario.measure(self.plan, setup)
        for run in runs:
            run.order, run.started_at = len(self.result.runs), started_at
            run.seconds = round(time.monotonic() - begun, 3)
            run.flags += validity.of_cores(*self._cores)
            self.result.runs.append(run)
            self._tell(f"[{number}/{total}] {text.line(self.scenario, run)}")
        self.kept.write(self.result)
        for run in runs:
            self._on_run(run)

    def _same_code(self) -> None:
        """Every run starts a server from the work tree: one that changed meanwhile is another server."""
        if environment.code() != self._code:
            for run in self.result.runs:
                run.flags.append(
                    Flag("void", "code", "the work tree was changed meanwhile: measure in a clone")
                )

    def _listen(self) -> dict[str, Any] | None:
        if not self.options.gated:
            return None
        found = noise.gate(self._cores)
        words = f": {'; '.join(found.reasons)}" if found.reasons else ""
        self._tell(f"the machine is {found.verdict}{words}")
        self._live.tell("noise", verdict=found.verdict)
        return found.to_json()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        made, before = self.result, {number: signal.getsignal(number) for number in STOPS}
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            yield
        except KeyboardInterrupt:
            made.stopped_by = "interrupted"
            self._tell(f"interrupted: {'what was measured is kept' if made.runs else 'no run had ended yet'}")
        except BenchError as error:
            made.stopped_by = str(error)
            self._tell(f"cannot measure: {error}")
        except OSError as error:
            made.stopped_by = f"{error.filename or 'this machine'}: {error.strerror or error}"
            self._tell(f"cannot measure: {made.stopped_by}")
        finally:
            for number in STOPS:  # a second Ctrl-C must not cut the writing short
                signal.signal(number, signal.SIG_IGN)
            self._keep_last()
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)

    def _keep_last(self) -> None:
        """A result that no disk takes can still be shown."""
        made = self.result
        try:
            if made.runs:
                self.kept.write(made)
        except Environment as error:
            made.verdict, made.finished_at, made.stopped_by = "incomplete", None, str(error)
            self._tell(f"cannot measure: {error}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def continued(left: Result, fresh: Result) -> Result:
    """What an interrupted session left, if it was after the same; raises Environment if it was not."""
    for name in ("scenario", "plan", "seed", "pairs", "rows", "cores"):
        was, wanted = getattr(left, name), getattr(fresh, name)
        if was != wanted:
            raise Environment(f"{left.id} has another {name} ({was}): use another --out to begin anew")
    for name, was in left.environment.items():
        if name not in VARYING and was != fresh.environment.get(name):
            raise Environment(
                f"{left.id} was begun with another {name} ({was}): use another --out to begin anew"
            )
    if left.verdict == "incomplete":
        left.stopped_by, left.finished_at = None, None
    return left


def row(cell: Cell) -> dict[str, Any]:
    """A row as result files have it; without paths of this machine, but for what the user typed."""
    command, variables = cell.target.filled(port="PORT", directory="DIRECTORY", kind="KIND")
    here = str(Path(__file__).parent.parent) + "/"
    return {
        "key": cell.key,
        "target": cell.target.name,
        "transport": cell.transport,
        "command": [word.replace(sys.executable, "python").replace(here, "") for word in command],
        "environment": {name: value.replace(here, "") for name, value in variables.items()},
        **({"file": cell.target.file} if cell.target.file else {}),
    }


def new_id(scenario: Scenario, plan: Any, seed: int) -> str:
    """A name that sorts by time."""
    stamp = result.now().replace(":", "").replace("-", "")
    what = json.dumps([plans.to_json(plan), seed], sort_keys=True)
    return f"{stamp}-{scenario.name}-{hashlib.sha256(what.encode()).hexdigest()[:4]}"


def unused(name: str, out: Path) -> str:
    """The name, with a number behind it when a result in `out` has it: two may begin in the same second."""
    number, found = 1, name
    while (out / f"{found}.json").exists():
        number += 1
        found = f"{name}-{number}"
    return found


def verdict(made: Result) -> str:
    """`loss` before `void` before `slo` before `ok`: a server that is wrong is wrong on a noisy machine too."""
    swept = (
        len(made.plan.get("rates", ())) > 1
    )  # there a demand, or what the bench itself can do, is where it ends
    flags = [flag for run in made.runs for flag in run.flags]
    code = validity.exit_code(flag for flag in flags if not (swept and flag.code in validity.OWN_LIMITS))
    if code == EXIT_LOSS:
        return "loss"
    if code == EXIT_VOID or validity.machine(made.noise["before"], made.noise["after"]):
        return "void"
    demands = slo.parse(made.plan.get("slo", ""))
    if not swept and any(slo.broken(demands, run.figures) for run in made.runs):
        return "slo"
    return "ok"


def exit_code(made: Result) -> int:
    """What a command ends with."""
    return EXIT_INTERRUPTED if made.stopped_by == "interrupted" else CODES[made.verdict]


def random_seed() -> int:
    """For when none is asked for; it is printed and kept."""
    return random.SystemRandom().randrange(1_000_000)
