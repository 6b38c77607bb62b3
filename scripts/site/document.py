"""Documents: Markdown files of this repository, with their headings, links and blocks of code, each with its line.

They are read as GitHub reads them (CommonMark with tables). The site is made by another parser, see `staging`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]

# What stands outside of docs/ and is a page of the site all the same, under this name. README.md is for who has the
# repository before him; the site has docs/index.md.
TAKEN_IN = {
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "examples.md",
    "web/client/README.md": "client-package.md",
    "bench/targets/README.md": "bench-targets.md",
    "bench/crosscheck/README.md": "bench-crosscheck.md",
}

_ATTRIBUTE = re.compile(r"""\b(?:href|src|srcset)=["']([^"' ]+)""")
_HTML_ANCHOR = re.compile(r"""\b(?:id|name)=["']([^"']+)["']""")
_UNKNOWN_REFERENCE = re.compile(r"\]\[([^\]]*)\]")


class Link(NamedTuple):
    target: str
    line: int
    is_image: bool


class Heading(NamedTuple):
    text: str
    anchor: str
    line: int
    level: int


class Fence(NamedTuple):
    """A block of code. `mark` is the HTML comment on the line before it, without its brackets; `line` is that of the
    opening fence."""

    language: str
    text: str
    line: int
    mark: str | None


class Document:
    """One Markdown file: `path` is from the root of the repository, `site` its name in the site (or none)."""

    def __init__(self, path: str, text: str, site: str | None = None) -> None:
        self.path = path
        self.text = text
        self.site = site

    def __repr__(self) -> str:
        return f"Document({self.path!r})"

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    @cached_property
    def headings(self) -> list[Heading]:
        found = []
        for opening, inline in zip(self.tokens, self.tokens[1:], strict=False):
            if opening.type == "heading_open" and opening.map:
                text = plain_text(inline)
                found.append(Heading(text, slug(text), opening.map[0] + 1, int(opening.tag[1])))
        return found

    @cached_property
    def anchors(self) -> set[str]:
        """What a `#` may name: headings, and ids of HTML."""
        html = (token.content for token in self._inline_and_blocks("html_inline", "html_block"))
        return {heading.anchor for heading in self.headings} | {
            anchor for text in html for anchor in _HTML_ANCHOR.findall(text)
        }

    @cached_property
    def links(self) -> list[Link]:
        """Links and images, of Markdown and of HTML."""
        found = []
        for token in self.tokens:
            for target, is_image in _targets(token):
                found.append(Link(target, self._line_of(token, target), is_image))
        return found

    @cached_property
    def unknown_references(self) -> list[Link]:
        """`[text][name]` whose name is defined nowhere: it is shown as it stands, brackets and all."""
        found = []
        for token in self.tokens:
            for child in token.children or ():
                if child.type == "text":
                    found += [
                        Link(name, self._line_of(token, f"[{name}]"), False)
                        for name in _UNKNOWN_REFERENCE.findall(child.content)
                    ]
        return found

    @cached_property
    def fences(self) -> list[Fence]:
        return [
            Fence(
                token.info.split()[0] if token.info.split() else "",
                token.content,
                token.map[0] + 1,
                self._mark_above(token.map[0]),
            )
            for token in self.tokens
            if token.type == "fence" and token.map
        ]

    @cached_property
    def indented_code(self) -> list[int]:
        """The lines on which blocks of code begin that have no fence, and so neither language nor mark."""
        return [token.map[0] + 1 for token in self.tokens if token.type == "code_block" and token.map]

    @cached_property
    def code_spans(self) -> list[tuple[str, int]]:
        """What stands between backticks in the text, with its line."""
        return [
            (child.content, self._line_of(token, child.content))
            for token in self.tokens
            for child in token.children or ()
            if child.type == "code_inline"
        ]

    def _mark_above(self, index: int) -> str | None:
        above = self.lines[index - 1].strip() if index else ""
        match = re.fullmatch(r"<!--\s*(.*?)\s*-->", above)
        return match[1] if match else None

    def _inline_and_blocks(self, *types: str) -> Iterator[Token]:
        for token in self.tokens:
            yield from (part for part in (token, *(token.children or ())) if part.type in types)

    def _line_of(self, token: Token, text: str) -> int:
        """The line of a text within a token; that of the token where the source writes it otherwise."""
        start, end = token.map or (0, 0)
        for number in range(start, end):
            if text in self.lines[number]:
                return number + 1
        return start + 1


def _targets(token: Token) -> Iterator[tuple[str, bool]]:
    for part in (token, *(token.children or ())):
        if part.type == "link_open":
            yield str(part.attrs["href"]), False
        elif part.type == "image":
            yield str(part.attrs["src"]), True
        elif part.type in ("html_inline", "html_block"):
            for target in _ATTRIBUTE.findall(part.content):
                yield target, "<img" in part.content or "<source" in part.content


def plain_text(inline: Token) -> str:
    """The text of a heading, without its markup."""
    return "".join(part.content for part in inline.children or () if part.type in ("text", "code_inline"))


def slug(text: str) -> str:
    """The anchor that GitHub gives a heading; `mkdocs.yml` has the site do the same."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def read(root: Path = ROOT) -> list[Document]:
    """All documents that a reader meets: those of the site, and README.md."""
    pages = {path.relative_to(root).as_posix(): path.name for path in sorted((root / "docs").glob("*.md"))}
    found = [Document("README.md", (root / "README.md").read_text("utf-8"))]
    for path, site in (pages | TAKEN_IN).items():
        found.append(Document(path, (root / path).read_text("utf-8"), site))
    return found
