"""What Zensical gets to read: the documents under build/docs, all of them in one folder, with the files that they link.

GitHub reads CommonMark, Zensical reads Python-Markdown. What both take for different things is written so that they
agree: lists are indented by four, a list or a table has an empty line above it. Comments are left out.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from scripts.site.document import Document
from scripts.site.links import resolve

FILES = "files"  # where copies of the repository's files stand in the site
ASSETS = Path(__file__).with_name("assets")
# What browsers show as it is; behind anything else a .txt keeps them from downloading it.
_SHOWN = {".html", ".json", ".png", ".svg", ".txt"}
_CODE_OR_COMMENT = re.compile(r"(`+)(?:(?!\1).)*?\1(?!`)|<!--.*?-->", re.DOTALL)
_TARGET = re.compile(r"""(?<=\]\()[^)\s]+(?=[)\s])|(?<=href=")[^"]+|(?<=src=")[^"]+|(?<=srcset=")[^" ]+""")
_DEFINITION = re.compile(r"^(\s*\[[^\]]+\]:\s+)(\S+)")


class Staging:
    """The folder, and what is in it already. `repository` is the address of the public repository, for links to
    files that are no pages; without one they lead to a copy in the site."""

    def __init__(self, root: Path, folder: Path, documents: list[Document], repository: str = "") -> None:
        self.root = root
        self.folder = folder
        self.documents = documents
        self.repository = repository.rstrip("/")
        self._site = {document.path: document.site for document in documents} | {"README.md": "index.md"}

    def write(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        shutil.copytree(
            self.root / "docs", self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.md")
        )
        for asset in ("site.css", "iframe-worker.js"):
            shutil.copy(ASSETS / asset, self.folder)
        shutil.copy(self.root / "web" / "favicon.svg", self.folder)
        for document in self.documents:
            if document.site:
                (self.folder / document.site).write_text(self.page(document), "utf-8")

    def page(self, document: Document) -> str:
        """Its Markdown for the site. Lines keep their number up to the first that has to be put between them."""
        lines = _outside_fences(document, lambda text: self._with_links(document, text))
        return "\n".join(_indented(document, lines)) + "\n"

    def _with_links(self, document: Document, text: str) -> str:
        text = _CODE_OR_COMMENT.sub(lambda match: match[0] if match[1] else "\n" * match[0].count("\n"), text)
        text = _TARGET.sub(lambda match: self._target(document, match[0]), text)
        return re.sub(
            _DEFINITION.pattern,
            lambda match: match[1] + self._target(document, match[2]),
            text,
            flags=re.MULTILINE,
        )

    def _target(self, document: Document, target: str) -> str:
        found = resolve(document, target)
        if found is None or target.startswith("#"):
            return target
        path, anchor = found
        return self._address(path) + (f"#{anchor}" if anchor else "")

    def _address(self, path: str) -> str:
        """Where a path of the repository is in the site, as the pages link it."""
        if site := self._site.get(path):
            return site
        if path.startswith("docs/") and (self.root / path).is_file():
            return path.removeprefix("docs/")
        if self.repository:
            return f"{self.repository}/{'tree' if (self.root / path).is_dir() else 'blob'}/main/{path}"
        return self._listed(path) if (self.root / path).is_dir() else self._copied(path)

    def _copied(self, path: str) -> str:
        name = f"{FILES}/{path}" + ("" if Path(path).suffix in _SHOWN else ".txt")
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.root / path, self.folder / name)
        return name

    def _listed(self, path: str) -> str:
        """A page that lists a folder's files, each a copy."""
        files = sorted(
            file for file in (self.root / path).iterdir() if file.is_file() and not file.name.startswith(".")
        )
        page = f"{FILES}/{path}/index.md"
        links = [f"- [{file.name}]({file.name}{'' if file.suffix in _SHOWN else '.txt'})" for file in files]
        for file in files:
            self._copied(file.relative_to(self.root).as_posix())
        head = ["---", "search: { exclude: true }", "---", f"# {path}", "", "Files of the repository:", ""]
        (self.folder / page).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / page).write_text("\n".join([*head, *links]) + "\n", "utf-8")
        return page


def _outside_fences(document: Document, change: Callable[[str], str]) -> list[str]:
    """The document's lines, those outside of its blocks of code changed; `change` keeps the number of lines."""
    lines: list[str] = []
    at = 0
    for start, end in [*_maps(document, "fence"), (len(document.lines), len(document.lines))]:
        if start > at:
            lines += change("\n".join(document.lines[at:start])).split("\n")
        lines += document.lines[start:end]
        at = end
    return lines


def _maps(document: Document, *types: str) -> list[tuple[int, int]]:
    return [(t.map[0], t.map[1]) for t in document.tokens if t.type in types and t.map]


def _indented(document: Document, lines: list[str]) -> list[str]:
    """The lines with each level of a list four columns in, and an empty line above a list or table of its own."""
    depth = [0] * len(lines)
    column = [0] * len(lines)  # where the text of the innermost item begins
    marker: set[int] = set()
    for start, end in _maps(document, "list_item_open"):
        width = _text_column(document.lines[start])
        marker.add(start)
        for number in range(start, end):
            depth[number] += 1
            column[number] = width
    above = {start for start, _ in _maps(document, "table_open", "bullet_list_open", "ordered_list_open")}
    made: list[str] = []
    for number, line in enumerate(lines):
        apart = number in above and (depth[number] - (number in marker) == 0)
        if apart and made and made[-1].strip():
            made.append("")
        made.append(_at_depth(line, depth[number], column[number], number in marker))
    return made


def _text_column(line: str) -> int:
    match = re.match(r"\s*(?:[-*+]|\d+[.)])\s+", line)
    return match.end() if match else len(line)


def _at_depth(line: str, depth: int, column: int, is_marker: bool) -> str:
    if not line.strip():
        return ""  # what a comment of its own has left
    if not depth:
        return line
    if is_marker:
        return "    " * (depth - 1) + line.lstrip()
    kept = line[column:] if not line[:column].strip() else line.lstrip()
    return "    " * depth + kept
