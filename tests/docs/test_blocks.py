"""Every block of code that can be run says how it is tested, and what it says is so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.site.document import ROOT, Document, read
from tests.docs.blocks import KINDS, RUNNABLE, SHELLS, Block, blocks, stray_marks
from tests.docs.session import LINKED

DOCUMENTS = read()
TICKS = "```"


@pytest.fixture(params=DOCUMENTS, ids=lambda document: document.path)
def document(request: pytest.FixtureRequest) -> Document:
    found: Document = request.param
    return found


def test_every_block_that_can_be_run_says_how_it_is_tested(document: Document) -> None:
    silent = [f"{document.path}:{b.line}" for b in blocks(document) if b.language in RUNNABLE and not b.kind]
    assert not silent, f"without a mark ({', '.join(silent)}): see tests/docs/blocks.py"


def test_what_the_marks_say_is_so(document: Document) -> None:
    assert list(problems(document)) == []


def problems(document: Document) -> Iterator[str]:
    """What is wrong with the marks of a document, in sentences."""
    for line in stray_marks(document):
        yield f"{document.path}:{line}: there is no block of code on the line below this mark"
    found = blocks(document)
    for number, block in enumerate(found):
        for why in wrong(document, block, found[:number], found[number + 1 :]):
            yield f"{document.path}:{block.line}: {why}"


def wrong(document: Document, block: Block, before: list[Block], after: list[Block]) -> Iterator[str]:
    """What is wrong with the mark of a block."""
    if not block.kind and block.argument:
        yield f"there is no mark {block.argument!r}, but {', '.join(KINDS)}"
    if block.kind == "not run" and len(block.argument.split()) < 2:
        yield "not run: for what reason?"
    if block.kind == "run by":
        test = ROOT / block.argument
        if not test.is_file() or Path(document.path).stem not in test.read_text("utf-8"):
            yield f"{block.argument} does not exist, or does not name {document.path}"
    if block.kind == "output" and not any(other.is_command for other in before):
        yield "there is no command before this output"
    if block.file and Path(block.file).parts[0] in ("/", "..", *LINKED):
        yield f"{block.file} would be written outside of the session's directory"
    if block.file and not any(is_used(block.file, later) for later in after):
        yield f"no later block of this document uses {block.file}, so writing it tests nothing"
    if block.kind == "run" and not block.is_command and not block.file:
        yield f"only a shell's block runs by itself: run: FILE writes this one ({block.language}) for a later block"
    if block.kind == "run" and block.language not in RUNNABLE | {"json", "toml", "yaml", "text", "ndjson"}:
        yield f"how is {block.language or 'this'} run?"


def is_used(file: str, block: Block) -> bool:
    """Whether a block names a file, or imports it by its stem."""
    name = file.rsplit("/", 1)[-1]
    return block.kind in ("run", "run by") and (name in block.text or name.rsplit(".", 1)[0] in block.text)


@pytest.mark.parametrize(
    ("mark", "language", "problem"),
    [
        ("ouput", "text", "there is no mark 'ouput', but run, output, run by, not run"),
        ("run by tests/docs/blocks.py", "sh", "there is no mark 'run by tests/docs/blocks.py'"),
        ("run by: tests/nothing.py", "sh", "tests/nothing.py does not exist"),
        ("run", "python", "only a shell's block runs by itself"),
        ("run:", "json", "only a shell's block runs by itself"),
        ("run: bakground", "sh", "no later block of this document uses bakground"),
        ("run: /etc/file", "text", "/etc/file would be written outside"),
        ("run: web/file", "text", "web/file would be written outside"),
        ("output", "text", "there is no command before this output"),
        ("not run: because", "sh", "not run: for what reason?"),
    ],
)
def test_a_mark_that_is_wrong(mark: str, language: str, problem: str) -> None:
    text = f"<!-- {mark} -->\n{TICKS}{language}\n1\n{TICKS}\n\n<!-- run -->\n{TICKS}sh\ncat file\n{TICKS}\n"
    (told,) = problems(Document("docs/some.md", text))
    assert told.startswith(f"docs/some.md:2: {problem}")


@pytest.mark.parametrize("between", ["", "words"])
def test_a_mark_that_stands_above_nothing(between: str) -> None:
    text = f"<!-- output -->\n{between}\n{TICKS}text\n1\n{TICKS}\n"
    (told,) = problems(Document("docs/some.md", text))
    assert told == "docs/some.md:1: there is no block of code on the line below this mark"


def test_what_is_not_run_is_well_formed_at_least(document: Document) -> None:
    for block in blocks(document):
        if block.language in ("python", "py"):
            compile(block.text, f"{document.path}:{block.line}", "exec")
        elif block.language in SHELLS and block.kind != "run":
            parsed = subprocess.run(
                ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
            )
            assert not parsed.stderr, f"{document.path}:{block.line}: {parsed.stderr}"
