"""Every block of code that can be run says how it is tested, and what it says is so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.site.document import ROOT, Document, read
from tests.docs.blocks import RUNNABLE, SHELLS, Block, blocks

DOCUMENTS = read()


@pytest.fixture(params=DOCUMENTS, ids=lambda document: document.path)
def document(request: pytest.FixtureRequest) -> Document:
    found: Document = request.param
    return found


def test_every_block_that_can_be_run_says_how_it_is_tested(document: Document) -> None:
    silent = [f"{document.path}:{b.line}" for b in blocks(document) if b.language in RUNNABLE and not b.kind]
    assert not silent, f"without a mark ({', '.join(silent)}): see tests/docs/blocks.py"


def test_what_the_marks_say_is_so(document: Document) -> None:
    found = blocks(document)
    for number, block in enumerate(found):
        if why := wrong(document, block, found[:number], found[number + 1 :]):
            pytest.fail(f"{document.path}:{block.line}: {why}", pytrace=False)


def wrong(document: Document, block: Block, before: list[Block], after: list[Block]) -> str | None:
    """What is wrong with a mark, in words."""
    if block.kind == "not run" and len(block.argument.split()) < 2:
        return "not run: for what reason?"
    if block.kind == "run by":
        test = ROOT / block.argument
        if not test.is_file() or Path(document.path).stem not in test.read_text("utf-8"):
            return f"{block.argument} does not exist, or does not name {document.path}"
    if block.kind == "output" and not any(other.is_command for other in before):
        return "there is no command before this output"
    if block.file and not any(is_used(block.file, later) for later in after):
        return f"no later block of this document uses {block.file}, so writing it tests nothing"
    if block.kind == "run" and block.language not in RUNNABLE | {"json", "toml", "yaml", "text", "ndjson"}:
        return f"how is {block.language or 'this'} run?"
    return None


def is_used(file: str, block: Block) -> bool:
    """Whether a block names a file, or imports it by its stem."""
    name = file.rsplit("/", 1)[-1]
    return block.kind in ("run", "run by") and (name in block.text or name.rsplit(".", 1)[0] in block.text)


def test_what_is_not_run_is_well_formed_at_least(document: Document) -> None:
    for block in blocks(document):
        if block.language in ("python", "py"):
            compile(block.text, f"{document.path}:{block.line}", "exec")
        elif block.language in SHELLS and block.kind != "run":
            parsed = subprocess.run(
                ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
            )
            assert not parsed.stderr, f"{document.path}:{block.line}: {parsed.stderr}"
