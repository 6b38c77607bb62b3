"""The rooms of the house: imports go one way, and each foreign thing has one door. Read with `ast`, nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "dashboard_rt"
MODULES = {path.stem: path for path in sorted(PACKAGE.glob("*.py")) if path.stem != "__init__"}
CLIENT = sorted((PACKAGE / "client").glob("*.py"))
BENCH = sorted((ROOT / "bench").rglob("*.py"))

# A module imports from the layers above its own, never from its own or from below.
LAYERS = [
    {"types", "errors", "meter"},
    {
        "variables",
        "telemetry",
        "frames",
        "commands",
        "tail",
        "standing",
        "heartbeat",
        "origins",
        "plain",
        "shortcut",
        "transaction",
        "waiting",
        "websocket_link",
    },
    {
        "settings",
        "subscription",
        "sqlite",
        "schema",
        "access",
        "replies",
        "tasks",
        "handover_cycle",
        "handover_websocket",
    },
    {"logs", "db", "broker", "pages"},
    {"eventlog", "dashboard", "judge", "cursors"},
    {"publisher", "hub", "probe"},
    {"follower", "audience", "handover", "jobs"},
    {"departure", "live", "worker", "publishing", "triggers", "clients"},
    {"sse", "cable_session"},
    {"cable"},
    {"api"},
    {"app"},
    {"serving"},
    {"__main__"},
]
LAYER = {name: number for number, layer in enumerate(LAYERS) for name in layer}

# Who may import what comes from elsewhere.
DOORS = {
    "databases": {"db"},
    "aiosqlite": {"db", "sqlite"},
    "broadcaster": {"broker"},
    "uvicorn": {"handover", "handover_cycle", "handover_websocket", "serving", "departure"},
    "httptools": {"handover", "handover_websocket"},
    "websockets": {"handover_websocket", "websocket_link", "frames"},
    "psutil": {"probe"},
    "apscheduler": {"jobs"},
    "click": {"__main__"},
}
PUBLIC_UVICORN = {"serving", "departure"}  # these know what uvicorn shows; handover alone knows its insides
DEAF = {"sse", "cable", "cable_session"}  # they know the hub and its nouns, not where updates come from
NOT_FOR_THE_DEAF = {"eventlog", "broker", "db", "publisher", "follower", "sse"}


def imports(path: Path) -> Iterator[str]:
    """Dotted names: `.frames` for one of ours, `uvicorn.server` for others', also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield "." * node.level + node.module
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + alias.name for alias in node.names)


def ours(path: Path) -> set[str]:
    """The modules of the flat package that a module of it imports."""
    named = {name[1:].partition(".")[0] for name in imports(path) if name.startswith(".")}
    return named & set(MODULES) | {"client"} & named


def test_every_module_has_its_layer() -> None:
    assert set(LAYER) == set(MODULES)
    assert sum(map(len, LAYERS)) == len(LAYER), "a module is in two layers"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name: str) -> None:
    wrong = {other for other in ours(MODULES[name]) - {"client"} if LAYER[other] >= LAYER[name]}
    assert not wrong, f"{name} imports {wrong}, which is not above it"


def test_only_the_command_line_knows_the_clients() -> None:
    assert {name for name, path in MODULES.items() if "client" in ours(path)} <= {"__main__"}


@pytest.mark.parametrize("path", CLIENT, ids=lambda path: path.stem)
def test_the_clients_share_nothing_with_the_server_but_nouns_and_errors(path: Path) -> None:
    assert {name for name in imports(path) if name.startswith("..")} <= {"..types", "..errors"}
    assert not [name for name in imports(path) if name.partition(".")[0] == "dashboard_rt"]


@pytest.mark.parametrize("foreign", DOORS)
def test_what_is_foreign_has_its_door(foreign: str) -> None:
    users = {
        name
        for name, path in MODULES.items()
        if foreign in {used.partition(".")[0] for used in imports(path)}
    }
    assert users <= DOORS[foreign], f"{foreign} is for {DOORS[foreign]}"


@pytest.mark.parametrize("name", sorted(PUBLIC_UVICORN))
def test_uvicorns_insides_are_for_the_handover_alone(name: str) -> None:
    used = {module for module in imports(MODULES[name]) if module.partition(".")[0] == "uvicorn"}
    assert used <= {"uvicorn", "uvicorn.config", "uvicorn.supervisors"}


@pytest.mark.parametrize("name", sorted(DEAF))
def test_the_transports_know_neither_the_log_nor_the_broker_nor_each_other(name: str) -> None:
    assert not ours(MODULES[name]) & NOT_FOR_THE_DEAF


def test_no_module_imports_itself_by_its_full_name() -> None:
    for name, path in MODULES.items():
        assert not [used for used in imports(path) if used.partition(".")[0] == "dashboard_rt"], name


@pytest.mark.parametrize("path", BENCH, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_bench_knows_the_protocol_document_alone(path: Path) -> None:
    assert not [name for name in imports(path) if name.partition(".")[0] == "dashboard_rt"]
