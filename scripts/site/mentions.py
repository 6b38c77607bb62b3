"""What documents mention between backticks and in commands, held against what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from scripts.site import reference
from scripts.site.document import ROOT, Document

# Variables and the like that are not ours.
OTHERS = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SO_SNDBUF"})
FOLDERS = "src|tests|bench|docs|scripts|examples|web|deploy"

# Where the names of variables stand that programs, platforms and tests of ours read.
NAMING = (
    "src/**/*.py",
    "bench/**/*.py",
    "bench/crosscheck/*",
    "bench/targets/**/*",
    "scripts/*",
    "deploy/**/*",
    "app.json",
    "*file",
    "*.yml",
)

_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_ASSIGNED = re.compile(r"(?<![\w-])([A-Z][A-Z0-9_]+)=")
_EXPANDED = re.compile(r"\$\{?([A-Z][A-Z0-9_]*)")
_FILE = re.compile(rf"(?:{FOLDERS})/[\w./-]*\w/?(?:::[\w:]+)?")
_COMMAND = re.compile(r"(?:dashboard-rt|python -m dashboard_rt|python -m bench)(?![\w.-])((?: [a-z]+)*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_TARGET = re.compile(r"make ([a-z][a-z-]*(?: [a-z][a-z-]*)*)")
_REQUEST = re.compile(r"(?:GET|HEAD|POST|WS) (/[\w/.{}-]*)")
_PATH = re.compile(r"(?:^|https?://[^\s/]+)(/[\w/.{}-]+)")


def problems(documents: list[Document], root: Path = ROOT) -> Iterator[str]:
    """Mentions of what does not exist, as sentences with file and line."""
    for document in documents:
        fences = "\n".join(fence.text for fence in document.fences)
        own = set(_VARIABLE.findall(fences))  # variables of an example in this document
        expanded = set(_EXPANDED.findall(fences))
        for text, line in _mentions(document):
            assigned = set(_ASSIGNED.findall(text)) - expanded
            named = {text} - own if _VARIABLE.fullmatch(text) else set()
            for name in sorted((assigned | named) - _variables()):
                yield f"{document.path}:{line}: `{name}` is no setting, and nothing of ours reads it"
            for look in (_file, _command, _target, _request):
                if why := look(text, root):
                    yield f"{document.path}:{line}: {why}"


def _mentions(document: Document) -> Iterator[tuple[str, int]]:
    yield from document.code_spans
    for fence in document.fences:
        if fence.language in ("sh", "bash"):
            for number, line in enumerate(fence.text.splitlines(), fence.line + 1):
                yield line.partition(" #")[0].strip(), number


@cache
def _variables() -> frozenset[str]:
    """Settings, and whatever else our programs, their tests and the files for platforms name."""
    text = "\n".join(
        path.read_bytes().decode("utf-8", "replace")
        for pattern in NAMING
        for path in ROOT.glob(pattern)
        if path.is_file()
    )
    return OTHERS | set(reference.settings()) | set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", text))


def _file(text: str, root: Path) -> str | None:
    if not _FILE.fullmatch(text):
        return None
    name, _, test = text.partition("::")
    if not (root / name).exists():
        return f"{name} does not exist"
    function = test.rpartition("::")[2]
    if function and f"def {function}(" not in (root / name).read_text("utf-8"):
        return f"{name} has no {function}"
    return None


def _command(text: str, root: Path) -> str | None:
    for part in re.split(r"&&|[|;]", text):
        if match := _COMMAND.search(part):
            program = "python -m bench" if "bench" in match[0].split()[:3] else "dashboard-rt"
            if why := _unknown_below(program, match[1].split(), _OPTION.findall(part, match.end())):
                return why
    return None


def _unknown_below(program: str, words: list[str], options: list[str]) -> str | None:
    """Follow the words of a command line down to the first that is an argument; then look at its options."""
    names = {command.name: command.options for command in reference.commands()}
    at = program
    for word in words:
        if f"{at} {word}" in names:
            at = f"{at} {word}"
        elif any(name.startswith(f"{at} ") for name in names):
            return f"there is no command `{at} {word}`"
        else:
            break
    unknown = [option for option in options if option not in (*names[at], "--help")]
    return f"`{at}` has no option `{unknown[0]}`" if unknown else None


def _target(text: str, root: Path) -> str | None:
    match = _TARGET.match(text)
    if match is None:
        return None
    there = set(re.findall(r"^([\w./-]+):", (root / "Makefile").read_text("utf-8"), re.MULTILINE))
    unknown = [word for word in match[1].split() if word not in there]
    return f"there is no `make {unknown[0]}`" if unknown else None


def _request(text: str, root: Path) -> str | None:
    match = _REQUEST.fullmatch(text.partition("?")[0])
    if match and not _is_route(match[1]):
        return f"there is no `{text}`"
    # Of paths without a method, and of addresses, only what begins as ours do.
    for path in _PATH.findall(text):
        if path.split("/")[1] in ("dashboard", "streams", "static") and not _is_route(path.rstrip("/")):
            return f"there is no `{path}`"
    return None


def _is_route(path: str) -> bool:
    return any(pattern.fullmatch(path) for pattern in _routes())


@cache
def _routes() -> tuple[re.Pattern[str], ...]:
    paths = [*reference.endpoints(), "/static", "/static/{file}"]
    return tuple(re.compile(re.sub(r"\\\{\w+\\\}", r"[\\w{}./-]+", re.escape(path))) for path in paths)
