"""The break-even calculator's files: `docs/calculator/coefficients.js` and the table in `docs/calculator.md`.

Both are functions of `results/`: `make check` proves that they are current. What the numbers are says coefficients.py,
what is reckoned from them docs/calculator/model.js.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import coefficients
from bench.coefficients import Coefficient
from bench.figures import number
from bench.result import Run
from bench.statistics import stats

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "docs" / "calculator" / "coefficients.js"
DOCUMENT = ROOT / "docs" / "calculator.md"
REMEDY = "run `python -m bench coefficients --write`"
TABLE = re.compile(r"(?<=<!--coefficients-->\n).*?(?=<!--/coefficients-->)", re.DOTALL)
DIGITS = 4  # significant ones that are kept: more would be those of the machine that divides them

# ---- rows that no coefficient was taken from, to hold the model against

_CHECKS = (
    "headline/original.json",
    "headline-again/original.json",
    "headline/forms.json",
    "headline-again/forms.json",
    "peers/fanout.json",
    "peers/burst.json",
)


def checks() -> Iterator[dict[str, Any]]:
    """Cores' worth of CPU of one process in those rows, in the words of the calculator's inputs."""
    for file in _CHECKS:
        made = coefficients.read(file)
        plan = made.plan
        inputs = {
            "clients": plan["clients"],
            "rate": plan["rates"][0] * plan["batch"],
            "size": plan["size"],
            "burst": plan["batch"],
        }
        for key in coefficients.TRANSPORTS:
            values = [coefficients.cores(run) for run in made.of(f"app {key}") if run.valid]
            low, high = stats.bounds(values)
            cores = {"value": _kept(stats.mean(values)), "low": _kept(low), "high": _kept(high)}
            yield {"file": file, "transport": key, "inputs": inputs, "cores": cores}


# ---- what is written


def script() -> str:
    """`coefficients.js`."""
    all_of_them = coefficients.load()
    files = sorted({reading.file for one in all_of_them for reading in one.readings})
    known = {
        "measured": _reach(),
        "files": [_file(name) for name in files],
        "values": {one.id: _entry(one) for one in all_of_them},
        "checks": list(checks()),
    }
    text = json.dumps(known, indent=1, ensure_ascii=False)
    return (
        "// Written by `python -m bench coefficients --write` from the result files that it names. Do not edit it.\n"
        f"globalThis.calculator = {{ ...globalThis.calculator, coefficients: {text} }};\n"
    )


def _reach() -> dict[str, Any]:
    """How far the measurements went: what is beyond is extrapolated. `rate` is the lowest, of publishes, `write` the
    largest, in bytes, `deliveries` the most a second."""
    burst = f"{coefficients.OTHERS[0]}/burst.json"
    update = coefficients.of_row(burst, "app cable", "bytes_per_delivery").measured.value
    large = coefficients.read(f"{coefficients.QUOTED}/large.json").plan
    return {
        "clients": large["clients"],
        "rate": min(large["rates"]),
        "size": coefficients.read(f"{coefficients.QUOTED}/fanout.json").plan["size"],
        "write": _kept(coefficients.read(burst).plan["batch"] * update),
        "deliveries": _kept(max(run.figures["delivered_per_second"] for run in _sweeps())),
    }


def _sweeps() -> Iterator[Run]:
    for folder in coefficients.OTHERS:
        yield from (run for run in coefficients.read(f"{folder}/sweep.json").runs if run.valid)


def _file(name: str) -> dict[str, Any]:
    made = coefficients.read(name)
    machine = f"{made.environment['cpu_model']}, {made.environment['cores']} cores"
    commit = str(made.environment["git"]["sha"])[:7]
    return {"file": name, "date": made.created_at[:10], "commit": commit, "machine": machine}


def _entry(one: Coefficient) -> dict[str, Any]:
    return {
        "says": one.says,
        "unit": one.unit,
        "value": _kept(one.value),
        "low": _kept(one.low),
        "high": _kept(one.high),
        **({"clients": one.clients} if one.clients else {}),
        **({"rate": one.rate} if one.rate else {}),
        "from": [{"file": reading.file, "of": reading.of} for reading in one.readings] or "docs/protocol.md",
    }


def _kept(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS - 1}e}")


def table() -> str:
    """The table of `calculator.md`, with an empty line on each side: not all Markdown ends a table at a comment."""
    lines = ["", "| | value | range | quoted from |", "|---|---|---|---|"]
    for one in coefficients.load():
        value, span = number(one.value), f"{number(one.low)} to {number(one.high)}"
        source = f"`{one.readings[0].file}`" if one.readings else "[protocol.md](protocol.md)"
        lines.append(f"| {one.says} | {value} {one.unit} | {span if one.low < one.high else ''} | {source} |")
    return "\n".join([*lines, "", ""])


def written(text: str) -> str:
    """`calculator.md` with its table as the result files have it."""
    return TABLE.sub(lambda _: table(), text)


def write() -> None:
    """Write both."""
    SCRIPT.write_text(script(), encoding="utf-8")
    DOCUMENT.write_text(written(_text(DOCUMENT)), encoding="utf-8")


def faults(made: Path = SCRIPT, document: Path = DOCUMENT) -> Iterator[str]:
    """What is not as the result files have it."""
    if _text(made) != script():
        yield f"{made.name} is not what the result files say: {REMEDY}"
    text = _text(document)
    if not TABLE.search(text):
        yield f"{document.name} has no table of coefficients: put <!--coefficients--> before it and close it behind"
    elif written(text) != text:
        yield f"{document.name} has a table that is not what the result files say: {REMEDY}"


def _text(path: Path) -> str:
    """What is in it; nothing, when it is not there."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""
