"""One load client process as the bench sees it: JSON lines over its pipes, and an end that is sure to come."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.errors import Environment

ROOT = Path(__file__).parents[2]


class ClientProcess:
    """`module` is bench.load.client or its like; its setup is sent at once, and the answer is awaited by `answer`.
    Commands are run one after the other, in the order in which they were told."""

    def __init__(self, module: str, setup: dict[str, Any]) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        self.pending = b""
        self.tell(setup)

    def tell(self, command: dict[str, Any]) -> None:
        """Send one command; raises Environment when the process is gone."""
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(json.dumps(command).encode() + b"\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            raise Environment("a load client died; its traceback is above") from None

    def answer(self, timeout: float) -> dict[str, Any]:
        """The next line; raises Environment when none comes in time, or when it says why a command failed."""
        assert self.popen.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.popen.stdout], [], [], left)[0]:
                raise Environment(f"a load client said nothing for {timeout:.0f} s")
            piece = os.read(self.popen.stdout.fileno(), 1 << 20)
            if not piece:
                raise Environment("a load client died; its traceback is above")
            self.pending += piece
        row, _, self.pending = self.pending.partition(b"\n")
        fields: dict[str, Any] = json.loads(row)
        if "failed" in fields:
            raise Environment(str(fields["failed"]))
        return fields

    def end(self) -> None:
        """Close its stdin, which ends it; kill it when it does not."""
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        try:
            self.popen.wait(3)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
