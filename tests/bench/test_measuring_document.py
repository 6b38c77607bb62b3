"""What docs/measuring.md, docs/cli.md and docs/bench-schema.md tell a reader to type at the bench does what they say.

Measurements run with fewer clients and for a shorter time than the documents say: what they find here is no finding.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import result
from bench.__main__ import main
from bench.errors import EXIT_OK, EXIT_VOID

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).relative_to(ROOT)
MARK = f"<!-- run by: {HERE} -->"
BLOCK = re.compile(r"^(<!-- [^>]* -->)\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = "--subs 10 --seconds 0.3 --warmup 0.1 --pairs 1"

pytestmark = pytest.mark.live


def blocks(document: str) -> list[tuple[str, str, str]]:
    """Mark, language and text of the marked blocks of a document."""
    return BLOCK.findall((ROOT / "docs" / document).read_text(encoding="utf-8"))


def scripts(document: str) -> list[str]:
    return [text for mark, language, text in blocks(document) if mark == MARK and language == "sh"]


def commands(script: str) -> Iterator[str]:
    """Its commands; one in quotes may have several lines."""
    yield from re.split(r"\n(?=python )", script.strip())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which paths of the results are those of a checkout, and which a command may fill."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "results").symlink_to(ROOT / "bench" / "results")
    return tmp_path


def run(script: str, folder: Path) -> tuple[int, str]:
    """Exit status and output."""
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": os.pathsep.join(places)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def read(command: str) -> tuple[int, str]:
    """The same of a command that only reads, in this process, which spares it the start of another."""
    name, *words = shlex.split(command.removeprefix("python -m "))
    assert name == "bench"
    done = CliRunner().invoke(main, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


READING = dict.fromkeys(
    command
    for document in ("measuring.md", "cli.md")
    for script in scripts(document)
    for command in commands(script)
    if " bench run " not in command and command != "python -m bench report results"
)


@pytest.mark.slow
@pytest.mark.parametrize("command", READING, ids=lambda command: " ".join(shlex.split(command)[2:]))
def test_results_are_read_as_the_documents_say(
    command: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    code, output = read(command)
    assert code == 0, output
    assert output


def test_a_result_is_read_without_the_bench(checkout: Path) -> None:
    (program,) = (
        text for mark, language, text in blocks("bench-schema.md") if (mark, language) == (MARK, "python")
    )
    (checkout / "read.py").write_text(program, encoding="utf-8")
    code, output = run("python read.py", checkout)
    assert code == 0, output
    assert output.splitlines()[0].startswith("app sse 10.")


@pytest.mark.slow
def test_what_a_report_looks_like_is_quoted_word_by_word(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    (command,) = (script for script in scripts("measuring.md") if "report bench/results" in script)
    text = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")
    quoted = text.partition(command)[2].partition("```text\n")[2].partition("```")[0].splitlines()
    lines = read(command.strip())[1].splitlines()
    assert len(quoted) > 3
    assert not [line for line in quoted if line not in lines]


@pytest.mark.slow
@pytest.mark.nightly
def test_the_server_of_the_worked_example_is_measured(checkout: Path) -> None:
    for mark, _, text in blocks("measuring.md"):
        if found := re.fullmatch(r"<!-- run: (\S+) -->", mark):
            (checkout / found[1]).write_text(text, encoding="utf-8")
    (script,) = (script for script in scripts("measuring.md") if "mine.toml" in script)
    measure, report = commands(script)
    code, output = run(f"{measure} {SMALL}", checkout)
    assert code in (EXIT_OK, EXIT_VOID), output  # a busy machine makes it void, and that is right
    (file,) = (checkout / "results").glob("*.json")
    made = result.read(file)
    assert made.keys == ["mine sse", "app sse", "floor sse"]
    for one in made.runs:
        assert one.account is not None
        assert one.account["received"] == one.account["expected"] > 0 == one.account["lost"]
    code, output = run(report, checkout)
    assert code == 0 and "mine sse" in output
