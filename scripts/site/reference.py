"""What the reference pages have to name: each setting, endpoint, command, option, error and close code of the programs.

The lists come from the programs themselves. A page names a thing when it stands there between backticks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import click
from starlette.routing import Route, WebSocketRoute
from websockets.frames import CloseCode

from bench.__main__ import main as bench
from dashboard_rt import errors
from dashboard_rt.__main__ import cli
from dashboard_rt.app import create_app
from dashboard_rt.server import limits
from dashboard_rt.settings import Settings, described
from dashboard_rt.transports.cable import session
from scripts.site.document import ROOT, Document

SAY_GOODBYE = (
    "hub/connections.py",
    "transports/sse.py",
    "transports/cable/session.py",
    "transports/cable/endpoint.py",
)
SSE_EVENTS = ("verdict", "heartbeat", "goodbye")


class Command(NamedTuple):
    name: str
    options: tuple[str, ...]


def commands() -> list[Command]:
    """Every command of both programs, as it is typed, with its options."""
    return [*_commands(cli, "dashboard-rt"), *_commands(bench, "python -m bench")]


def _commands(command: click.Command, name: str) -> Iterator[Command]:
    options = [option for parameter in command.params for option in parameter.opts + parameter.secondary_opts]
    yield Command(name, tuple(option for option in options if option.startswith("--")))
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _commands(found, f"{name} {below}")


def settings() -> list[str]:
    return [name for _, name, _ in described()]


def endpoints() -> list[str]:
    routes = create_app(Settings.read({})).routes
    return [route.path for route in routes if isinstance(route, Route | WebSocketRoute)]


def error_words() -> list[str]:
    """Statuses with their words in a JSON body, close codes, reasons of a goodbye, events."""
    found = [(error.status, error.code) for error in _refused(errors.Refused)]
    found += [(status, _word(status)) for status in (404, 405, 500)]
    found += [
        (refusal.status, _word(refusal.status))
        for refusal in vars(limits).values()
        if isinstance(refusal, limits.Refusal) and refusal.status
    ]
    words = [str(part) for pair in found for part in pair]
    return list(dict.fromkeys([*words, *map(str, close_codes()), *reasons(), *SSE_EVENTS]))


def _refused(error: type[errors.Refused]) -> Iterator[type[errors.Refused]]:
    yield error
    for below in error.__subclasses__():
        yield from _refused(below)


def _word(status: int) -> str:
    return HTTPStatus(status).phrase.lower().replace(" ", "_")


def close_codes() -> list[int]:
    """The codes that our code names, and those of the protocol document, which the libraries below send."""
    named = {
        int(CloseCode[node.attr])
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "CloseCode"
    }
    protocol = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    told = {int(code) for code in re.findall(r"\b(?:with|code) (10[01]\d)\b", protocol)}
    return sorted(named | told | {session.GOING_AWAY, session.NORMAL})


def reasons() -> list[str]:
    """The reasons for which the server ends a connection with a word: what is handed to `goodbye`, or returned by what
    decides on a refusal."""
    found: set[str] = set()
    for name in SAY_GOODBYE:
        tree = ast.parse((ROOT / "src" / "dashboard_rt" / name).read_text("utf-8"))
        found |= {word for node in ast.walk(tree) for word in _reasons_of(node)}
    return sorted(found)


def _reasons_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Return(value=ast.Constant(value=str(word))):
            yield word
        case ast.Call(args=[ast.Attribute(attr="goodbye"), ast.Constant(value=str(word)), *_]):
            yield word
        case ast.Assign(targets=[ast.Name(id="reason")], value=value):
            yield from (
                part.value
                for part in ast.walk(value)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )


def missing(root: Path = ROOT) -> Iterator[str]:
    """What a reference page does not name, a sentence for each."""
    yield from _unnamed(root, "settings.md", settings(), "the settings")
    yield from _unnamed(root, "protocol.md", endpoints(), "the endpoints")
    yield from _unnamed(root, "cli.md", [command.name for command in commands()], "the commands")
    options = dict.fromkeys(option for command in commands() for option in command.options)
    yield from _unnamed(root, "cli.md", list(options), "the options")
    yield from _unnamed(root, "errors.md", error_words(), "the errors, codes and events")


def _unnamed(root: Path, page: str, names: list[str], what: str) -> Iterator[str]:
    path = root / "docs" / page
    if not path.is_file():
        yield f"docs/{page}:1: this page is not there"
        return
    spans = [span for span, _ in Document(page, path.read_text("utf-8")).code_spans]
    absent = [
        name
        for name in names
        if not any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", span) for span in spans)
    ]
    if absent:
        yield f"docs/{page}:1: this page does not name {what} " + ", ".join(f"`{name}`" for name in absent)
