"""Programs that are built from source before they can be measured: once, into the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import Environment
from bench.serving.placeholder import filled

TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class Build:
    """`command` runs in `directory`, where the sources are, and writes the program to `{binary}`."""

    name: str
    command: tuple[str, ...]
    directory: Path

    def binary(self) -> Path:
        """Where the program is or will be: another version of any source has another place."""
        text = hashlib.sha256(" ".join(self.command).encode())
        for path in sources(self.directory):
            text.update(path.name.encode() + path.read_bytes())
        return cache() / f"{self.name}-{text.hexdigest()[:16]}"

    def built(self) -> Path:
        """The program, built first unless that was done before; raises Environment with the end of what was said."""
        binary = self.binary()
        if binary.exists():
            return binary
        print(f"building {self.name}, once", file=sys.stderr, flush=True)
        binary.parent.mkdir(parents=True, exist_ok=True)
        # Under another name first: a build that is cut short, or one in parallel, never leaves half a program there.
        unfinished = binary.with_name(f"{binary.name}.{os.getpid()}")
        try:
            self._run([filled(word, {"binary": str(unfinished)}) for word in self.command])
            unfinished.replace(binary)
        finally:
            unfinished.unlink(missing_ok=True)
        return binary

    def _run(self, command: Sequence[str]) -> None:
        try:
            done = subprocess.run(
                command,
                cwd=self.directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Environment(f"{self.name} cannot be built: {error}") from None
        if done.returncode:
            said = " | ".join(done.stdout.strip().splitlines()[-5:])
            raise Environment(f"{self.name} cannot be built: {said or 'the build said nothing'}")


def sources(directory: Path) -> list[Path]:
    """The files that a program is built from."""
    return sorted(path for path in directory.iterdir() if path.is_file())


def cache() -> Path:
    """The user's cache (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dashboard-rt-bench"
