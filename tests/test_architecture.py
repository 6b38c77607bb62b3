"""The import law of docs/architecture.md, and that the document and the code name the same files. Nothing is run."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "dashboard_rt"
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
BENCH = sorted((ROOT / "bench").rglob("*.py"))
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()

# From left to right, as in the document: a package imports only from those before it.
LAW = (
    ("types", "errors", "env", "urls", "postgres", "settings", "telemetry", "logconfig"),
    ("broker",),
    ("eventlog",),
    ("hub",),
    ("dashboard",),
    ("http",),
    ("ingest",),
    ("transports",),
    ("server",),
    ("budget",),
    ("app", "lines"),
    ("__main__",),
)
PLACE = {name: place for place, names in enumerate(LAW) for name in names}

# Which of our modules may import what comes from elsewhere.
DOORS = {
    "databases": r"eventlog/(sqlite|postgres)_connection\.py",
    "asyncpg": r"postgres\.py|eventlog/postgres_failures\.py|broker/.*",
    "aiosqlite": r"eventlog/sqlite_connection\.py",
    "broadcaster": r"broker/.*",
    "redis": r"broker/redis\.py",
    "uvicorn": r"server/.*",
    "httptools": r"server/.*",
    "websockets": r"server/.*|transports/cable/frames\.py|client/cable\.py",
    "psutil": r"dashboard/system_metrics\.py",
    "click": r"__main__\.py|client/.*",
    "httpx": r"client/.*",
    "jwt": r"http/tickets\.py",
}


@cache
def imported(name: str) -> tuple[str, ...]:
    """What a module imports, also inside functions: `/hub/hub` for one of ours, dotted names for others."""
    return tuple(_imports(name))


def _imports(name: str) -> Iterator[str]:
    folder = Path(name).parent
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = folder
            for _ in range(node.level - 1):
                base = base.parent
            target = (base / (node.module or "").replace(".", "/")).as_posix()
            found = f"{target}.py" in MODULES
            yield from ([f"/{target}"] if found else [f"/{target}/{alias.name}" for alias in node.names])


def ours(name: str) -> set[str]:
    """The modules of the package that a module imports, such as `hub/hub.py`."""
    paths = {f"{path[1:].removeprefix('./')}.py" for path in imported(name) if path.startswith("/")}
    return paths & set(MODULES)


def package(name: str) -> str:
    return name.partition("/")[0].removesuffix(".py")


def server_side() -> list[str]:
    return [name for name in MODULES if package(name) not in ("client", "__init__")]


def test_every_package_has_its_place() -> None:
    assert {package(name) for name in server_side()} == set(PLACE)


def test_packages_import_only_to_their_left() -> None:
    wrong = {
        (name, other)
        for name in server_side()
        for other in ours(name)
        if package(other) not in ("client", "__init__")
        and PLACE[package(other)] >= PLACE[package(name)]
        and package(other) != package(name)
        and PLACE[package(name)] > 0
    }
    assert not wrong


def test_the_first_group_imports_nothing_else() -> None:
    for name in server_side():
        if PLACE[package(name)] == 0:
            assert {package(other) for other in ours(name)} <= set(LAW[0]), name


def test_no_import_goes_in_a_circle() -> None:
    graph = {name: ours(name) - {name} for name in MODULES}
    done: set[str] = set()
    while True:
        free = {name for name in graph.keys() - done if graph[name] <= done}
        if not free:
            break
        done |= free
    assert set(graph) == done, f"in a circle, or behind one: {sorted(set(graph) - done)}"


def test_the_client_knows_only_types_and_errors() -> None:
    for name in MODULES:
        if package(name) == "client":
            assert {package(other) for other in ours(name)} <= {"client", "types", "errors"}, name


def test_transports_know_the_hub_and_three_modules_of_http() -> None:
    http = {"http/responses.py", "http/security.py", "http/tickets.py"}
    for name in MODULES:
        if package(name) != "transports":
            continue
        others = {other for other in ours(name) if PLACE[package(other)] > 0}
        assert {package(o) for o in others} <= {"hub", "http", "transports"}, name
        assert {o for o in others if package(o) == "http"} <= http, name
        mine = "transports/cable" if name.startswith("transports/cable/") else name
        shared = {"transports/asgi.py", "transports/connection.py"}
        apart = {o for o in others if package(o) == "transports" and not o.startswith(mine)} - shared
        assert not apart, f"{name} imports another transport: {apart}"


def test_what_comes_from_elsewhere_has_its_door() -> None:
    for foreign, allowed in DOORS.items():
        users = {
            name
            for name in MODULES
            if foreign in {path.partition(".")[0] for path in imported(name) if not path.startswith("/")}
        }
        wrong = {name for name in users if not re.fullmatch(allowed, name)}
        assert not wrong, f"{foreign} is imported by {wrong}"


def test_no_class_name_exists_twice() -> None:
    names = Counter(
        node.name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert not {name: count for name, count in names.items() if count > 1}


def test_no_module_imports_itself_by_its_full_name() -> None:
    for name in MODULES:
        assert not [path for path in imported(name) if path.partition(".")[0] == "dashboard_rt"], name


def test_the_bench_knows_the_protocol_document_alone() -> None:
    for path in BENCH:
        tree = ast.parse(path.read_text())
        names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        names += [alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names]
        assert not [name for name in names if name.partition(".")[0] == "dashboard_rt"], path


# ---- the document


def tree_of_the_document() -> set[str]:
    """The files of the tree that the document draws."""
    block = DOCUMENT.split("src/dashboard_rt/\n", 1)[1].split("```", 1)[0]
    found, folders = set(), [""]
    for line in block.splitlines():
        match = re.match(r"( +)(\S+)", line)
        if match is None:
            continue
        depth, name = len(match[1]) // 2, match[2]
        folders = [*folders[:depth], folders[depth - 1] + name] if name.endswith("/") else folders[:depth]
        if not name.endswith("/"):
            found.add(folders[depth - 1] + name)
    return found


def test_the_tree_of_the_document_is_the_tree() -> None:
    real = {name for name in MODULES if not name.endswith("__init__.py")}
    assert tree_of_the_document() == real


def walks() -> dict[str, list[str]]:
    """For each walk of the document, the files that it names, in order and each once."""
    part = DOCUMENT.split("## Three walks", 1)[1].split("\n## ", 1)[0]
    sections = re.split(r"\n### ", part)[1:]
    return {s.splitlines()[0]: list(dict.fromkeys(re.findall(r"`([\w/]+\.py)`", s))) for s in sections}


def test_every_file_that_the_document_names_exists() -> None:
    roots = (PACKAGE, PACKAGE / "..", ROOT)
    for name in set(re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|md|toml))`", DOCUMENT)):
        assert any((root / name).exists() for root in roots), name


def test_the_walks_are_short() -> None:
    update, connect, subscribe = walks().values()
    # Where a step may take one of two transports, it takes one.
    assert len(set(update) - {"transports/cable/frames.py"}) <= 12
    assert len(connect) <= 9
    assert len(subscribe) <= 9
