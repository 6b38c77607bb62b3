"""The navigation of the site, `nav` of mkdocs.yml: each page is there, and once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from scripts.site.document import ROOT, Document

CONFIGURATION = "mkdocs.yml"


def pages(root: Path = ROOT) -> list[tuple[str, int]]:
    """The files that the navigation names, each with its line in mkdocs.yml."""
    text = (root / CONFIGURATION).read_text("utf-8")
    names = list(_leaves(yaml.safe_load(text)["nav"]))
    lines = text.splitlines()
    return [
        (name, next((n for n, line in enumerate(lines, 1) if line.rstrip().endswith(f" {name}")), 1))
        for name in names
    ]


def _leaves(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for below in node.values():
            yield from _leaves(below)
    else:
        for below in node:
            yield from _leaves(below)


def problems(documents: list[Document], root: Path = ROOT) -> Iterator[str]:
    """A page that the navigation lacks, names twice, or names without its being there."""
    there = {document.site: document for document in documents if document.site}
    listed = pages(root)
    for name, line in listed:
        if name not in there:
            yield f"{CONFIGURATION}:{line}: {name} does not exist (docs/{name})"
    for name, count in Counter(name for name, _ in listed).items():
        if count > 1:
            yield f"{CONFIGURATION}: {name} is in the navigation {count} times"
    for name in sorted(there.keys() - {name for name, _ in listed}):
        yield f"{there[name].path}:1: the navigation in {CONFIGURATION} lacks {name}"
