"""The runner of the documents' commands: what fails in it fails its test."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.site.document import ROOT, Document
from tests.docs.blocks import blocks
from tests.docs.session import Session
from tests.live.wire import until
from tests.services.process import in_session

TICKS = "```"
# A session in which something runs, in a test run that is killed.
KILLED = """
import os, signal, sys
from pathlib import Path
from scripts.site.document import Document
from tests.docs.blocks import blocks
from tests.docs.session import Session

session = Session(Path(sys.argv[1]))
for block in blocks(Document("docs/some.md", sys.argv[2])):
    session.run(block)
print(session.output(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path)
    yield session
    session.end()


def written(mark: str, language: str, body: str) -> str:
    return f"<!-- {mark} -->\n{TICKS}{language}\n{body}\n{TICKS}\n"


def run(session: Session, *parts: tuple[str, str, str]) -> None:
    """Run blocks of mark, language and text."""
    text = "\n".join(written(*part) for part in parts)
    for block in blocks(Document("docs/some.md", text)):
        session.run(block)


def test_a_document_is_one_shell(session: Session) -> None:
    run(
        session,
        ("run", "sh", "mkdir here && cd here\nnumber=7"),
        ("run: there.py", "python", "print('read', __file__)"),
        ("run", "sh", 'echo "$number in $(basename "$PWD")"\npython ../there.py'),
        ("output", "text", "7 in here\nread …there.py"),
    )


@pytest.mark.parametrize("text", ["false\ntrue", "exit 3", "no-such-program", "ls /no/such/folder"])
def test_a_command_that_fails_fails_its_document(session: Session, text: str) -> None:
    with pytest.raises(AssertionError, match="it failed, with this output"):
        run(session, ("run", "sh", f"echo before\n{text}"))
    assert session.output().startswith("before\n")


@pytest.mark.parametrize("line", ["three", "one … three", "… two more"])
def test_a_line_that_was_not_printed_fails_its_document(session: Session, line: str) -> None:
    with pytest.raises(AssertionError, match="no line"):
        run(session, ("run", "sh", "printf 'one\\ntwo\\n'"), ("output", "text", line))


def test_what_runs_in_the_background_answers_and_can_be_stopped(session: Session) -> None:
    server = "python -m http.server --bind 127.0.0.1 3000"
    run(
        session,
        ("run: index.html", "html", "<p>here</p>"),
        ("run: background", "sh", f'kind=page\n{server.replace(" 3000", "")} "$PORT"'),
        ("run", "sh", "curl -s http://127.0.0.1:3000/index.html\necho a $kind"),
        ("output", "text", "<p>here</p>\na page"),
        ("run", "sh", 'kill $!\nwait $! || echo "it ended"'),
        ("output", "text", "it ended"),
        ("run", "sh", "! curl -s http://127.0.0.1:3000/index.html"),
    )


def test_a_server_that_does_not_start_fails_its_document(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.docs.session.START_LIMIT", 0.1)
    with pytest.raises(AssertionError, match="cannot start"):
        run(session, ("run: background", "sh", "echo cannot start"))


def test_nothing_runs_on_behind_its_end(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the shell has ended, as it does when a command fails; what does not hear SIGTERM is killed."""
    monkeypatch.setattr("tests.docs.session.END_LIMIT", 0.1)
    with pytest.raises(AssertionError, match="it failed"):
        run(session, ("run", "sh", "sleep 600 &\n(trap '' TERM; sleep 600) &\necho $$\nfalse"))
    leader = int(session.output())
    assert in_session(leader)
    session.end()
    until(lambda: not in_session(leader), "all has ended")


def test_nothing_runs_on_when_the_test_run_is_killed(tmp_path: Path) -> None:
    document = written("run", "sh", "sleep 600 &\necho $$")
    command = [sys.executable, "-c", KILLED, str(tmp_path), document]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    leader = int(done.stdout)
    until(lambda: not in_session(leader), "all has ended")
