"""Where links lead: to pages, to their anchors, to files. What is wrong is said in a sentence with file and line."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scripts.site.document import Document, Link

# Program texts and messages that send their reader to a document.
_CITATION = re.compile(r"\bdocs/[\w.-]+\.md(?:#[\w-]+)?")
CITING = (
    "src/**/*.py",
    "bench/**/*.py",
    "bench/**/*.toml",
    "scripts/**/*",
    "web/**/*.js",
    "web/**/*.html",
    "web/**/*.ts",
    "examples/*",
    "deploy/**/*",
    "*",
)


def resolve(document: Document, target: str) -> tuple[str, str] | None:
    """The file (a path from the root; "" is the root) and the anchor that a link names; None for another host."""
    address = urlsplit(target)
    if address.scheme or address.netloc:
        return None
    if not address.path:
        return document.path, unquote(address.fragment)
    path = posixpath.normpath(
        posixpath.join(posixpath.dirname(document.path), unquote(address.path)),
    )
    return path, unquote(address.fragment)


def problems(documents: list[Document], root: Path) -> Iterator[str]:
    """Dead links, images and references of the documents, and dead citations of them in the code."""
    by_path = {document.path: document for document in documents}
    for document in documents:
        for link in document.links:
            if why := _problem(document, link, by_path, root):
                yield f"{document.path}:{link.line}: {why}"
        for reference in document.unknown_references:
            yield f"{document.path}:{reference.line}: the reference [{reference.target}] is defined nowhere"
    for path, line, citation in _citations(root):
        if why := _dead(citation, by_path, root):
            yield f"{path}:{line}: {why}"


def _problem(document: Document, link: Link, by_path: dict[str, Document], root: Path) -> str | None:
    found = resolve(document, link.target)
    if found is None:
        return (
            None if not link.is_image else f"the image {link.target} is on another host: keep a copy in docs/"
        )
    path, anchor = found
    if path.startswith(".."):
        return f"{link.target} leads out of this repository"
    return _dead(f"{path}#{anchor}" if anchor else path, by_path, root)


def _dead(target: str, by_path: dict[str, Document], root: Path) -> str | None:
    path, _, anchor = target.partition("#")
    if not (root / path).exists():
        return f"{path} does not exist"
    if anchor and path in by_path and anchor not in by_path[path].anchors:
        return f"{path} has no heading for #{anchor}{_nearest(anchor, by_path[path].anchors)}"
    return None


def _nearest(anchor: str, anchors: Iterable[str]) -> str:
    words = set(anchor.split("-"))
    best = max(anchors, key=lambda other: len(words & set(other.split("-"))), default="")
    return f" (#{best}?)" if words & set(best.split("-")) else ""


def _citations(root: Path) -> Iterator[tuple[str, int, str]]:
    for path in sorted({path for pattern in CITING for path in root.glob(pattern)}):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or path.suffix in (".md", ".json", ".png", ".pyc") or "node_modules" in name:
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            for citation in _CITATION.findall(line):
                yield name, number, citation
