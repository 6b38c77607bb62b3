"""One shell, in which the blocks of a document run as a reader would paste them, in a directory of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from scripts.site.document import ROOT
from tests.docs.blocks import Block
from tests.live.server import free_port
from tests.live.wire import Address, Closed, ask, until
from tests.patience import HANG_LIMIT
from tests.services.process import in_session

BLOCK_LIMIT = 2 * HANG_LIMIT  # of one block, which may be a whole measurement
START_LIMIT = HANG_LIMIT
END_LIMIT = 20.0  # of what is told to end; then it is killed
KEPT = ("LANG", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
# What a checkout has and blocks may name. Links, so that nothing is copied.
LINKED = (".venv", "bench", "examples", "web")
PORT = re.compile(r"((?:127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1\]):|\bPORT=|--port[ =]|\blisten )(\d{4,5})\b")


class Session:
    """`directory` is empty at first. A port that the blocks name stands for a free one, the same one each time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "work"
        self.notes = directory / "blocks"
        self.directory.mkdir()
        self.notes.mkdir()
        for name in LINKED:
            (self.directory / name).symlink_to(ROOT / name)
        self._ports = {"3000": free_port()}
        self._output: Path | None = None
        self._runs_on = False
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e", "-s"],
            cwd=self.directory,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a Ctrl-C in the terminal is for the tests
        )
        # Kills the shell and what it has started when its input ends: with `end`, or when the test run is killed.
        self._killer = subprocess.Popen(
            ["sh", "-c", f"read -r _; kill -KILL -{self._shell.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "PYTHONPATH": str(ROOT),  # the bench is no part of the installed package
            "PYTHONUNBUFFERED": "1",
            "PORT": str(self._ports["3000"]),
            "DRAIN_SECONDS": "1",
        }

    def run(self, block: Block) -> None:
        """Do what the mark of a block says. Raises AssertionError with the output where it fails."""
        if block.is_command:
            self._command(block)
        elif block.file:
            file = self.directory / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._with_ports(block.text), "utf-8")
        elif block.kind == "output":
            self._expect(block)

    def _command(self, block: Block) -> None:
        self._runs_on = block.argument == "background"
        script = self.notes / f"line-{block.line}.sh"
        done = script.with_suffix(".done")
        self._output = script.with_suffix(".out")
        text = self._with_ports(block.text)
        script.write_text(_in_background(text) if self._runs_on else text, "utf-8")
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"exec >'{self._output}' 2>&1; source '{script}' </dev/null; : >'{done}'\n")
        self._shell.stdin.flush()
        until(lambda: done.exists() or self._shell.poll() is not None, "the block ends", BLOCK_LIMIT)
        assert done.exists(), f"it failed, with this output:\n{self.output()}"
        if self._runs_on:
            port = self._listens_on(block.text)
            try:
                until(lambda: self._answers(port), "a server answers", START_LIMIT)
            except AssertionError as error:
                raise AssertionError(f"{error}; the output so far:\n{self.output()}") from None

    def _listens_on(self, text: str) -> int:
        """The port that a command is given; without one, that of the server which runs already or is started."""
        named = re.findall(r"(?:\bPORT=|--port[ =])(\d{4,5})\b", text)
        return self._ports[named[-1] if named else "3000"]

    def _answers(self, port: int) -> bool:
        try:
            return bool(ask(Address("127.0.0.1", port), "GET", "/up").status)
        except (OSError, Closed):
            return False

    def _expect(self, block: Block) -> None:
        """Each line was printed. A block that runs on may still print it."""
        for line in filter(str.strip, self._with_ports(block.text).splitlines()):
            pattern = ".*".join(re.escape(part.strip()) for part in line.split("…"))
            if self._runs_on:
                self._until_printed(pattern, line)
            assert re.search(pattern, self.output()), f"no line {line!r} in the output:\n{self.output()}"

    def _until_printed(self, pattern: str, line: str) -> None:
        try:
            until(lambda: re.search(pattern, self.output()), f"the output has the line {line!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is:\n{self.output()}") from None

    def output(self) -> str:
        """What the last command printed."""
        if self._output is None or not self._output.exists():
            return ""
        return self._output.read_text("utf-8", "replace")

    def _with_ports(self, text: str) -> str:
        return PORT.sub(lambda match: f"{match[1]}{self._ports.setdefault(match[2], free_port())}", text)

    def end(self) -> None:
        """Stop what still runs, also where the shell has ended."""
        for process in self._started():
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        with suppress(AssertionError):
            until(lambda: not self._started(), "all has ended", END_LIMIT)
        for each in (self._killer, self._shell):
            assert each.stdin is not None
            each.stdin.close()
            each.wait(HANG_LIMIT)

    def _started(self) -> list[psutil.Process]:
        return [process for process in in_session(self._shell.pid) if process.pid != self._shell.pid]


def _in_background(text: str) -> str:
    """The block with its last command in the background, so that `$!` and `kill %1` mean that command."""
    text = text.rstrip()
    assert "#" not in text.splitlines()[-1], (
        "no comment may stand behind a command that is run in the background"
    )
    return text + ("\n" if text.endswith("&") else " &\n")
