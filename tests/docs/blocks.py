"""Blocks of code in the documents, and what the comment on the line above each says of how it is tested.

<!-- run -->              sh: run in the document's session, has to succeed
<!-- run: background -->  sh: kept running to the end of the document; what follows waits until the server answers
<!-- run: FILE -->        written to FILE in the session's directory, where a later block uses it
<!-- output -->           what the block before printed, line by line; `…` stands for anything
<!-- run by: tests/X -->  another test runs it
<!-- not run: REASON -->  needs what no test has, such as Heroku
"""

from __future__ import annotations

import re
from typing import NamedTuple

from scripts.site.document import Document

SHELLS = frozenset({"sh", "bash", "shell", "console", "zsh"})
RUNNABLE = SHELLS | {
    "python",
    "py",
    "js",
    "javascript",
    "mjs",
    "jsx",
    "ts",
    "html",
    "ruby",
    "nginx",
    "caddy",
    "caddyfile",
}
KINDS = ("run", "output", "run by", "not run")
_MARK = re.compile(rf"<!--\s*(?:{'|'.join(KINDS)})\b")


class Block(NamedTuple):
    """`kind` is one of KINDS, `argument` what stands behind the colon. Without a mark both are empty; the argument of
    kind "" is a mark that there is not."""

    language: str
    text: str
    line: int
    kind: str
    argument: str

    @property
    def is_command(self) -> bool:
        return self.kind == "run" and self.language in SHELLS and self.argument in ("", "background")

    @property
    def file(self) -> str | None:
        """The file that this block is written to."""
        return self.argument if self.kind == "run" and not self.is_command else None


def blocks(document: Document) -> list[Block]:
    found = []
    for fence in document.fences:
        kind, _, argument = (part.strip() for part in (fence.mark or "").partition(":"))
        if kind not in KINDS:
            kind, argument = "", fence.mark or ""
        found.append(Block(fence.language, fence.text, fence.line, kind, argument))
    return found


def stray_marks(document: Document) -> list[int]:
    """The lines of marks that do not stand right above a block, and so mark nothing."""
    above = {fence.line - 1 for fence in document.fences}
    comments = {
        token.map[0] + 1
        for token in document.tokens
        if token.type == "html_block" and token.map and _MARK.match(token.content.lstrip())
    }
    return sorted(comments - above)
