"""docs/errors.md explains every error that somebody meets. What there is comes from the source: none is forgotten."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from dashboard_rt.client.failures import FailureReason
from dashboard_rt.errors import Refused
from dashboard_rt.http.tickets import REASONS as TICKET_REASONS
from dashboard_rt.server import limits
from dashboard_rt.transports.cable.session import DO_NOT_RECONNECT

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "dashboard_rt"
DOCUMENT = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
WORDS = LEAST_WORDS = 3  # of a sentence: the document quotes so many of a piece that has them
ENDS = {
    "server_restart",
    "too_slow",
    "full",
    "unavailable",
}  # reasons of a goodbye, beside those that are final
NEVER_SENT = {"invalid_request"}  # a reason of Rails' own, which this server has no use for
PLACE = re.compile(r"[a-z]+\.[a-z_]+|ingest")
BREAKS = re.compile(r"%[.\d]*[sdfg]|…|\(|\)|\{\}")


def subclasses(of: type[Refused]) -> Iterator[type[Refused]]:
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)


def described(status: int, code: str) -> bool:
    return any(f"`{status}` `{code}`" in line for line in DOCUMENT.splitlines())


@pytest.mark.parametrize("error", [Refused, *subclasses(Refused)], ids=lambda error: str(error.__name__))
def test_every_refusal_is_explained(error: type[Refused]) -> None:
    assert described(error.status, error.code)


def test_every_refusal_of_the_server_itself_is_explained() -> None:
    refusals = [each for each in vars(limits).values() if isinstance(each, limits.Refusal)]
    assert len(refusals) >= 6
    for refusal in refusals:
        if refusal.status:
            error = re.search(rb'"error": "(\w+)"', refusal.response([]))
            assert error is not None
            assert described(refusal.status, error[1].decode())


@pytest.mark.parametrize(
    "word",
    sorted({*limits.REASONS, *TICKET_REASONS, *FailureReason, *ENDS, *(DO_NOT_RECONNECT - NEVER_SENT)}),
)
def test_every_reason_is_explained(word: str) -> None:
    assert f"`{word}`" in DOCUMENT


# ---- what stands in calls


@cache
def calls() -> list[tuple[str, ast.Call]]:
    """Every call of a name or a method in the package, by that name."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                found.append((name, node))
    return found


def text_of(node: ast.expr) -> str:
    """A literal, with `…` for what is filled in; empty for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def literals(*names: str, place: int = 0) -> set[str]:
    """What calls of these names are given at a place."""
    given = (call.args[place] for name, call in calls() if name in names and len(call.args) > place)
    return {text for text in map(text_of, given) if text}


@pytest.mark.parametrize(
    ("names", "place", "least"),
    [
        (("Finding",), 0, 17),
        (("BadCommand",), 0, 7),
        (("_reject",), 1, 4),
        (("swallow",), 1, 0),
    ],
)
def test_every_word_that_is_counted_or_printed_is_explained(
    names: tuple[str, ...], place: int, least: int
) -> None:
    words = literals(*names, place=place)
    assert len(words) >= least
    assert not [word for word in sorted(words) if f"`{word}`" not in DOCUMENT]


def test_every_place_of_a_survived_error_is_named() -> None:
    places = {text for text in literals("swallow", "attempt", "BackgroundTasks") if PLACE.fullmatch(text)}
    places |= literals("BackgroundTasks", place=1)
    assert len(places) > 30
    assert not [place for place in sorted(places) if f"`{place}`" not in DOCUMENT]


def quoted(sentence: str) -> bool:
    """Whether the document has the first words of a piece of a sentence that nothing is filled into."""
    pieces = [piece.split() for piece in BREAKS.split(sentence) if len(piece.split()) >= LEAST_WORDS]
    document = DOCUMENT.replace("\n", " ")
    return any(" ".join(words[:WORDS]).strip(".:, ") in document for words in pieces)


@pytest.mark.parametrize("sentence", sorted(literals("warning", "error", "critical")))
def test_every_log_line_is_explained(sentence: str) -> None:
    assert quoted(sentence) or not sentence.strip("%s: ")


@pytest.mark.parametrize("sentence", sorted(literals("BadSetting")))
def test_every_sentence_at_the_start_is_explained(sentence: str) -> None:
    assert quoted(sentence) or " must be " in sentence


@pytest.mark.parametrize("code", sorted({"1000", "1001", "1002", "1007", "1008", "1009"}))
def test_every_close_code_is_explained(code: str) -> None:
    assert f"| `{code}` |" in DOCUMENT
