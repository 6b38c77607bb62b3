"""docs: an undocumented word of the wire fails here, and a command that cannot be pasted. tests/docs has the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bench.__main__ import main as bench
from dashboard_rt.__main__ import cli
from dashboard_rt.transports.cable import commands, frames
from dashboard_rt.types import Verdict

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()


@pytest.mark.parametrize(
    "word",
    [
        *Verdict,
        *sorted(commands.COMMANDS),
        frames.EXT_PROTOCOL,
        frames.BASE_PROTOCOL,
        "last_event_id",
        "Last-Event-ID",
        "heartbeat",
        "goodbye",
        "confirm_subscription",
        "reject_subscription",
        "confirm_history",
        "reject_history",
        "disconnect",
        "server_restart",
        "too_slow",
        "full",
        "x-stream-position",
        "Idempotency-Key",
    ],
)
def test_every_word_of_the_wire_is_in_the_protocol_document(word: str) -> None:
    assert word in PROTOCOL


# ---- commands that can be pasted into a shell


def quoted_text_removed(command: str) -> str:
    """A command without what is quoted or escaped: what a shell reads as its own."""
    return re.sub(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.""", "", command, flags=re.DOTALL)


def commands_of(document: Path) -> Iterator[str]:
    """The commands of the shell blocks of a document, and those of one line that stand in its text."""
    text = document.read_text()
    for block in re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from re.split(r"(?<!\\)\n(?![ \t])", block.strip())
    yield from re.findall(r"`((?:curl|dashboard-rt|make|python -m|\.venv/bin/)[^`]*)`", text)


def examples(command: click.Command, name: str = "") -> Iterator[str]:
    """The examples in the help of a command and of all below it."""
    yield from re.findall(r"Example: (.*)", command.help or "")
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from examples(found, below)


DOCUMENTS = [path for folder in (ROOT, DOCS, ROOT / "bench") for path in sorted(folder.rglob("*.md"))]
COMMANDS = sorted(
    {command for path in DOCUMENTS if ".venv" not in path.parts for command in commands_of(path)}
    | set(examples(cli))
    | set(examples(bench))
)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_shell_takes_a_part_of_a_command_for_a_pattern(command: str) -> None:
    """zsh refuses a pattern that names no file, also behind a #, which begins no comment where commands are typed."""
    bare = quoted_text_removed(command)
    assert not re.findall(r"[?*\[\]]", bare)
    assert not re.findall(r"[^\s&>]&[^\s&>]", bare), "an & cuts an address in two"


def test_the_commands_are_found() -> None:
    text = "\n".join(COMMANDS)
    for known in ("curl -N -H", "make run", "dashboard-rt init", "bench compare"):
        assert known in text
