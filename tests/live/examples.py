"""The examples, run by the commands of their README, on copies in which the ports are those of a test."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.live.server import free_port

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
README = (EXAMPLES / "README.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL))
START = re.findall(r"```sh\n(.*)\n", README)[0]  # the command that starts the dashboard
SHOWN = ("8000", "8001", "8002")  # the ports of the pages


def commands(title: str) -> list[str]:
    """The commands of one section of the README."""
    blocks = re.findall(r"```sh\n(.*?)```", SECTIONS[title], re.DOTALL)
    return "".join(blocks).splitlines()


def page_ports() -> dict[str, str]:
    """A free port for each that the README shows."""
    return {shown: str(free_port()) for shown in SHOWN}


def copied(directory: Path, replaced: Mapping[str, str]) -> Path:
    """Copy the examples, with texts replaced; what npm has installed is not copied but linked."""
    target = directory / "examples"
    shutil.copytree(EXAMPLES, target, ignore=shutil.ignore_patterns("node_modules", "built"))
    for path in (path for path in target.rglob("*") if path.is_file()):
        path.write_text(changed(path.read_text(), replaced))
    for folder in EXAMPLES.glob("*/node_modules"):
        (target / folder.parent.name / "node_modules").symlink_to(folder)
    return target


def changed(text: str, replaced: Mapping[str, str]) -> str:
    for shown, meant in replaced.items():
        text = re.sub(rf"(?<![\w.]){re.escape(shown)}\b", meant, text)
    return text


@contextmanager
def running(directory: Path, command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command that goes on until the test ends; what it says on stdout and stderr goes to `log` and `log`.err."""
    words = [
        sys.executable if word in ("python3", ".venv/bin/python") else word for word in shlex.split(command)
    ]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with log.open("ab") as out, log.with_suffix(".err").open("ab") as errors:
        process = subprocess.Popen(
            words,
            cwd=directory,
            env=env,
            stdin=subprocess.PIPE,  # as in a terminal: esbuild stops when its input ends
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
    with process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # npm and shells have processes of their own
