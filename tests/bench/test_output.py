"""bench/output.py: results and progress on streams that are closed, full, or without our characters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import output
from tests.bench.small_targets import ROOT

SAYS = """
import sys
from bench import output
from bench.errors import Unheard
output.prepare()
output.tell("progress")
try:
    output.say("7.12 \\N{MICRO SIGN}s, 2 \\N{MULTIPLICATION SIGN}, \\N{SNOWMAN}")
except Unheard as error:
    output.tell(str(error))
    sys.exit(error.exit_code)
"""


def says(shell: str, **variables: str) -> tuple[int, str]:
    """Exit code and stderr of a small program whose streams are as `shell` has them."""
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {shell}', sys.executable, SAYS],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.live
@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        (
            ">/dev/full",
            3,
            "progress\nthe output cannot be written: No space left on device; send it somewhere else\n",
        ),
        (">&-", 0, "progress\n"),
        ("2>/dev/full", 0, ""),
        ("2>&-", 0, ""),
    ],
)
def test_a_stream_that_takes_nothing_makes_no_traceback(shell: str, code: int, said: str) -> None:
    assert says(shell) == (code, said)


@pytest.mark.live
def test_a_reader_that_has_gone_is_told_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-c", SAYS],
            cwd=ROOT,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr.strip()) == (141, "progress")


@pytest.mark.live
def test_a_locale_without_our_characters_costs_those_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert says(f">{out}", PYTHONIOENCODING="iso8859-5") == (0, "progress\n")
    assert out.read_bytes() == b"7.12 ?s, 2 ?, ?\n"


def test_other_faults_are_not_taken_for_a_closed_stream() -> None:
    with pytest.raises(FileNotFoundError):
        output.unheard(FileNotFoundError(2, "No such file"))
