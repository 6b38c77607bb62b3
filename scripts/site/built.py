"""The site as it was built: its links lead somewhere, it asks no other host, and it shows what GitHub shows.

Zensical's parser is not GitHub's. Where one of them sees a list or a block of code and the other a paragraph, a page
would be broken in a way that nobody sees who reads the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it.token import Token

from scripts.site.document import Document, plain_text

_FETCHED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "srcset"), ("link", "href")}
# Kinds of elements that are compared, as HTML names them.
_KINDS = ("h1", "h2", "h3", "h4", "li", "pre", "table", "tr", "blockquote")
_HEADERLINK = re.compile(r"\bheaderlink\b")


class _Page(HTMLParser):
    """What is looked at of a page: `links` with their attribute, `ids`, and the texts of the article by their kind."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str, str]] = []
        self.ids: set[str] = set()
        self.comments: list[str] = []
        self.texts: dict[str, list[str]] = {kind: [] for kind in _KINDS}
        self._open: list[str] = []
        self._within = False
        self._skipped = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        for name in ("href", "src", "srcset"):
            if name in given:
                self.links.append((tag, name, given[name].split(" ")[0]))
        if tag == "article":
            self._within = True
        self._skipped += tag == "a" and bool(_HEADERLINK.search(given.get("class", "")))
        if self._within and tag in _KINDS:
            self._open.append(tag)
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._within = False
        if tag == "a":
            self._skipped = 0
        if self._open and tag == self._open[-1]:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and not self._skipped:
            self.texts[self._open[-1]][-1] += data

    def handle_comment(self, data: str) -> None:
        if self._within:
            self.comments.append(data)


@cache
def _page(path: Path) -> _Page:
    return _Page(path.read_text("utf-8"))


def problems(documents: list[Document], site: Path) -> Iterator[str]:
    """Everything that is wrong with the built pages, as sentences with file and, where it can be told, line."""
    for document in documents:
        if document.site:
            path = site / document.site.replace(".md", ".html")
            if not path.is_file():
                yield f"{document.path}:1: {path.name} was not built"
                continue
            page = _page(path)
            yield from (f"{document.path}: {why}" for why in _bad_links(path, page))
            yield from (
                f"{document.path}: the comment <!--{text}--> is in the site" for text in page.comments
            )
            yield from _differences(document, page)


def _bad_links(path: Path, page: _Page) -> Iterator[str]:
    for tag, name, target in page.links:
        address = urlsplit(target)
        if address.scheme == "data":
            continue
        if address.scheme or address.netloc:
            if (tag, name) in _FETCHED and tag != "link":
                yield f"the page asks another host: {target}"
            continue
        file = path.parent / unquote(address.path) if address.path else path
        if file.is_dir():
            file = file / "index.html"
        if not file.is_file():
            yield f"in the site, {target} leads nowhere"
        elif address.fragment and file.suffix == ".html" and unquote(address.fragment) not in _page(file).ids:
            yield f"in the site, {target} names no place on that page"


def _differences(document: Document, page: _Page) -> Iterator[str]:
    ours = _texts(document)
    for kind in _KINDS:
        there = [_bare(text) for text in page.texts[kind]]
        wanted = [(_bare(text), line) for text, line in ours[kind]]
        for number, (text, line) in enumerate(wanted):
            if number >= len(there) or there[number] != text:
                ours_from, theirs_from = _apart(text, there[number] if number < len(there) else "")
                yield (
                    f"{document.path}:{line}: GitHub shows a <{kind}> with {ours_from!r}, the site {theirs_from!r}: "
                    "write it so that Python-Markdown reads the same (an empty line before and after helps)"
                )
                break
        else:
            if len(there) > len(wanted):
                extra = there[len(wanted)]
                yield f"{document.path}: the site shows a <{kind}> with {extra[:50]!r}, GitHub none"


def _apart(one: str, other: str) -> tuple[str, str]:
    """Fifty characters of both from shortly before the first that differs."""
    same = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    start = max(same - 20, 0)
    return one[start : start + 50], other[start : start + 50]


def _texts(document: Document) -> dict[str, list[tuple[str, int]]]:
    """The texts of a document by kind, in order, as CommonMark reads it. Each has its own, not what is inside of it."""
    found: dict[str, list[tuple[str, int]]] = {kind: [] for kind in _KINDS}
    open_: list[str] = []
    for token in document.tokens:
        if token.type in ("fence", "code_block"):
            found["pre"].append((token.content, _line(token)))
        elif token.nesting == 1 and token.tag in _KINDS:
            open_.append(token.tag)
            found[token.tag].append(("", _line(token)))
        elif token.nesting == -1 and token.tag in _KINDS:
            open_.pop()
        elif token.type == "inline" and open_:
            text, line = found[open_[-1]][-1]
            found[open_[-1]][-1] = (text + plain_text(token), line)
    return found


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1


def _bare(text: str) -> str:
    """Letters and digits alone: what the parsers make of spaces, quotes and dashes is left aside."""
    return re.sub(r"[\W_]+", "", text)
