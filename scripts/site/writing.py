"""How documents are written, where one slip makes a page show something else than was meant."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.site.document import Document


def problems(documents: list[Document]) -> Iterator[str]:
    for document in documents:
        for line in document.indented_code:
            yield (
                f"{document.path}:{line}: code by indentation has no language and cannot be run by a test: "
                "put it between fences, ```sh for instance"
            )
        for fence in document.fences:
            if not fence.language:
                yield f"{document.path}:{fence.line}: a fence has to name its language, `text` for instance"
        for line in _text_behind_comments(document):
            yield (
                f"{document.path}:{line}: a line that begins with a comment ends the paragraph above, "
                "and its own text is shown raw: move a word in front of it"
            )
        yield from _titles(document)


def _text_behind_comments(document: Document) -> Iterator[int]:
    """CommonMark takes a line that begins with `<!--` for HTML as a whole."""
    for token in document.tokens:
        if token.type == "html_block" and token.content.lstrip().startswith("<!--") and token.map:
            last = token.content.rstrip().splitlines()[-1]
            if last.rpartition("-->")[2].strip() or token.content.count("<!--") > 1:
                yield token.map[0] + 1


def _titles(document: Document) -> Iterator[str]:
    titles = [heading for heading in document.headings if heading.level == 1]
    if len(titles) != 1:
        yield f"{document.path}:1: a page has one title (#), this one has {len(titles)}"
    seen: dict[str, int] = {}
    for heading in document.headings:
        if heading.anchor in seen:
            yield (
                f"{document.path}:{heading.line}: #{heading.anchor} is also the heading of line "
                f"{seen[heading.anchor]}, so no link can name this one: give it a name of its own"
            )
        seen.setdefault(heading.anchor, heading.line)
