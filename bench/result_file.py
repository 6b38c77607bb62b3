"""The file that a result is kept in while it is measured: looked at before, written after every run, never lost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import result
from bench.errors import Environment
from bench.result import Result


def check_folder(out: Path) -> None:
    """Raise Environment unless a file can be written into `out`, which is made when it is not there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out) as probe:
            probe.write(b"{}\n")
    except OSError as error:
        raise Environment(
            f"results cannot be written to {out} ({error.strerror}): name another folder with --out"
        ) from None


class ResultFile:
    """`<id>.json` in `out`. `path` is where the result was written last; None before that."""

    def __init__(self, out: Path, tell: Callable[[str], None] = lambda words: None) -> None:
        self._out = out
        self._tell = tell
        self.path: Path | None = None

    def write(self, made: Result) -> None:
        """Write it; into a temporary folder when its own takes it no more. Raises Environment when that fails too."""
        try:
            self.path = result.write(made, self._out)
        except OSError as error:
            was, self._out = self._out, self._elsewhere(made, error)
            self._tell(f"{was} takes no more results ({error.strerror}): they are kept in {self._out}")

    def _elsewhere(self, made: Result, why: OSError) -> Path:
        """Another folder, with the result in it."""
        try:
            folder = Path(tempfile.mkdtemp(prefix="bench-results-"))
            self.path = result.write(made, folder)
        except OSError as error:
            kept = f"the runs before this one are in {self.path}" if self.path else "nothing is kept"
            raise Environment(
                f"a result can be written neither to {self._out} ({why.strerror}) nor to a temporary folder "
                f"({error.strerror}): {kept}; make room"
            ) from None
        return folder
