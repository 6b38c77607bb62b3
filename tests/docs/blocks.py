"""Blocks of code in the documents, and what the comment above each says of how it is tested.

<!-- run -->              sh: run in the document's session, has to succeed
<!-- run: background -->  sh: kept running to the end of the document; what follows waits until the server answers
<!-- run: FILE -->        written to FILE in the session's directory, where a later block uses it
<!-- output -->           what the block before printed, line by line; `…` stands for anything
<!-- run by: tests/X -->  another test runs it
<!-- not run: REASON -->  needs what no test has, such as Heroku
"""

from __future__ import annotations

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


class Block(NamedTuple):
    """`kind` is one of KINDS, or "" without a mark; `argument` is what stands behind the colon."""

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
        kind, _, argument = (fence.mark or "").partition(":")
        kind = kind.strip()
        found.append(
            Block(
                fence.language,
                fence.text,
                fence.line,
                kind if kind in KINDS else "",
                argument.strip() if kind in KINDS else "",
            )
        )
    return found
