"""The runner of the documents' commands: what fails in it fails its test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.site.document import Document
from tests.docs.blocks import blocks
from tests.docs.session import Session

TICKS = "```"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path)
    yield session
    session.end()


def run(session: Session, *parts: tuple[str, str, str]) -> None:
    """Run blocks of mark, language and text."""
    text = "\n".join(
        f"<!-- {mark} -->\n{TICKS}{language}\n{body}\n{TICKS}\n" for mark, language, body in parts
    )
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
