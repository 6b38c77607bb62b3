"""The commands of the documents, run as they stand there, in order, in an empty directory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.site.document import Document, read
from tests import needs
from tests.docs.blocks import Block, blocks
from tests.docs.session import Session

FAST = ("docs/tutorial.md",)  # the others are slow
PROGRAMS = {"node": "nodejs", "redis-server": "redis-server", "nginx": "nginx-light", "caddy": "caddy"}
RUN = [document for document in read() if any(block.is_command for block in blocks(document))]


@pytest.mark.live
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(document, marks=() if document.path in FAST else (pytest.mark.slow,), id=document.path)
        for document in RUN
    ],
)
def test_its_commands_do_what_it_says(document: Document, tmp_path: Path) -> None:
    found = blocks(document)
    look_for_programs(found)
    session = Session(tmp_path)
    try:
        for block in found:
            try:
                session.run(block)
            except AssertionError as error:
                pytest.fail(f"{document.path}:{block.line}: {error}", pytrace=False)
    finally:
        session.end()


def look_for_programs(found: list[Block]) -> None:
    """Skip, loudly, where a program is missing that the commands start."""
    commands = "\n".join(block.text for block in found if block.is_command)
    for program, package in PROGRAMS.items():
        if re.search(rf"^(?:\w+=\S* )*{program}\b", commands, re.MULTILINE):
            needs.program(program, package)
