"""The commands of the documents, run as they stand there, in order, in an empty directory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from scripts.site.document import Document, read
from tests import needs
from tests.docs.blocks import Block, blocks
from tests.docs.session import Session

# Slow, as each starts servers and commands; the others take longest together, and are held each night.
SLOW = ("README.md", "docs/tutorial.md")
PROGRAMS = {"node": "nodejs", "redis-server": "redis-server", "nginx": "nginx-light", "caddy": "caddy"}
RUN = [document for document in read() if any(block.is_command for block in blocks(document))]


def case(document: Document) -> Any:
    """A document as a parameter, with its marks."""
    nightly = () if document.path in SLOW else (pytest.mark.nightly,)
    return pytest.param(document, marks=(pytest.mark.slow, *nightly), id=document.path)


@pytest.mark.live
@pytest.mark.parametrize("document", [case(document) for document in RUN])
def test_its_commands_do_what_it_says(document: Document, tmp_path: Path) -> None:
    found = blocks(document)
    look_for_programs(found)
    session = Session(tmp_path)
    try:
        failure = first_failure(session, found)
    finally:
        session.end()
    assert failure is None, f"{document.path}:{failure}"


def first_failure(session: Session, found: list[Block]) -> str | None:
    """The line of the block that failed, and why."""
    for block in found:
        try:
            session.run(block)
        except AssertionError as error:
            return f"{block.line}: {error}"
    return None


def look_for_programs(found: list[Block]) -> None:
    """Skip, loudly, where a program is missing that the commands start."""
    commands = "\n".join(block.text for block in found if block.is_command)
    for program, package in PROGRAMS.items():
        if re.search(rf"^(?:\w+=\S* )*{program}\b", commands, re.MULTILINE):
            needs.program(program, package)
