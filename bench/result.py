"""The result file: one JSON per command, from which every table can be made again."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import environment, validity
from bench.cores import Cores
from bench.run import Run

SCHEMA_VERSION = 1


def document(scenario: str, cores: Cores, seed: int, runs: Sequence[Run], **more: Any) -> dict[str, Any]:
    """Everything that is known about one command."""
    flags = [flag for run in runs for flag in run.flags]
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": scenario,
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": ["python", "-m", "bench", *sys.argv[1:]],
        "seed": seed,
        "cores": cores._asdict(),
        "environment": environment.fingerprint(Path(tempfile.gettempdir())),
        "verdict": {0: "ok", 1: "loss", 2: "void"}[validity.exit_code(flags)],
        "runs": [run.document() for run in runs],
        **more,
    }


def write(found: dict[str, Any], out: Path) -> Path:
    """Write it under a name that sorts by time; answers where."""
    out.mkdir(parents=True, exist_ok=True)
    stamp = found["created_at"].replace(":", "").replace("-", "")
    path = out / f"{stamp}-{found['scenario']}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    return path
