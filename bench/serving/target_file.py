"""Targets out of TOML files; every key is in bench/targets/README.md."""

from __future__ import annotations

import ipaddress
import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.load.wire import TRANSPORTS
from bench.serving.broadcast import STREAM, Broadcast, CommandPublish, HttpPublish, RedisPublish
from bench.serving.build import Build
from bench.serving.builtin import BUILT_IN
from bench.serving.need import Need
from bench.serving.services import SERVICES
from bench.serving.services import needs as service_needs
from bench.serving.table import Table, TargetError
from bench.serving.target_type import CableEnd, Deflate, Outside, SseEnd, Target

NAME = re.compile(r"[A-Za-z0-9._-]+")
FOLDER = Path(__file__).parents[1] / "targets"
WAYS = ("http", "redis", "command")


class Listed(NamedTuple):
    """One target for `python -m bench targets`; `missing` says what this machine lacks and how to get it."""

    name: str
    runnable: bool
    missing: str
    about: str
    transports: tuple[str, ...]


def names() -> list[str]:
    """The targets of bench/targets/."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def listing() -> list[Listed]:
    """All targets that have a name, the built-in ones first."""
    return [_listed(make()) for make in BUILT_IN.values()] + [_found(name) for name in names()]


def _found(name: str) -> Listed:
    """A file with a fault is listed with it, and does not hide the others."""
    try:
        return _listed(read(FOLDER / f"{name}.toml"))
    except TargetError as error:
        return Listed(name, False, str(error), "cannot be read", ())


def _listed(target: Target) -> Listed:
    return Listed(target.name, not target.missing, target.missing, target.about, target.transports)


def read(path: Path) -> Target:
    """The target of a file, named like the file; raises TargetError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise TargetError(f"{path}: cannot be read as TOML: {error}") from None
    if not NAME.fullmatch(path.stem):
        raise TargetError(
            f"{path}: the target is called like its file: letters, digits, dots and dashes only"
        )
    places = {"python": sys.executable, "here": str(path.resolve().parent)}
    table = Table(str(path), values, places)
    target = _target(path.stem, table)
    table.done()
    return target


def _target(name: str, table: Table) -> Target:
    services = table.words("services", tuple(SERVICES))
    outside = _outside(table)
    build = _build(name, table)
    return Target(
        name=name,
        about=table.line("about", ""),
        command=_command(table, outside, build),
        environment=table.pairs("environment"),
        transports=_transports(table),
        sse=_sse(table.table("sse")),
        cable=_cable(table.table("cable")),
        ready_path=table.path("ready_path", "/ready"),
        broadcast=_broadcast(table.table("publish"), services),
        services=services,
        deflate=_deflate(table.table("deflate")),
        resumes=table.flag("resumes"),
        keeps_state=table.flag("keeps_state"),
        loop_lag_metric=table.line("loop_lag_metric", "") or None,
        processes=table.number("processes") or 1,
        outside=outside,
        build=build,
        needs=_needs(table, services),
    )


def _command(table: Table, outside: Outside | None, build: Build | None) -> tuple[str, ...]:
    command = table.command("start")
    if bool(command) == (outside is not None):
        raise table.fault(
            "start", "or url must be there, one of the two: how the bench starts it, or where it runs"
        )
    if outside is not None and ("services" in table or build is not None):
        raise table.fault(
            "url", "is of a server that runs: it cannot have services or a build of the bench's"
        )
    if any("{binary}" in word for word in command) != (build is not None):
        raise table.fault("build", "and {binary} in start belong together: add the other, or leave out both")
    return command


def _transports(table: Table) -> tuple[str, ...]:
    transports = table.words("transports", TRANSPORTS)
    if not transports:
        raise table.fault("transports", f"is missing: name what it speaks, of {', '.join(TRANSPORTS)}")
    return transports


def _outside(table: Table) -> Outside | None:
    """Load goes to loopback only: the bench must never hit a machine that is not its own."""
    url, pid = table.text("url", ""), table.number("pid")
    if not url:
        if pid is not None:
            raise table.fault("pid", "is for a server that runs: add its url, or leave out pid")
        return None
    host, port = _address(url)
    if not port or not _is_loopback(host):
        raise table.fault("url", f"must be http://127.0.0.1:PORT, loopback only, not {url!r}")
    if pid is None:
        raise table.fault("pid", "is missing: add the process id of the server, so that its CPU can be read")
    return Outside(host, port, pid)


def _address(url: str) -> tuple[str, int]:
    """Host and port of a URL that has nothing else; port 0 for any other text."""
    try:
        parts = urlsplit(url)
        port = parts.port or 0
    except ValueError:  # a port above 65,535, half an IPv6 address
        return "", 0
    bare = parts.scheme == "http" and parts.path in ("", "/") and not (parts.query or parts.fragment)
    if not bare or parts.username is not None:
        return "", 0
    return "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or "", port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False


def _build(name: str, table: Table) -> Build | None:
    build = table.table("build")
    if not build.values:
        return None
    made = Build(name, build.words("command"), Path(build.text("directory")))
    build.done()
    if not made.command or not any("{binary}" in word for word in made.command):
        raise build.fault("command", "must be a list of words with {binary} as the place of the program")
    if not made.directory.is_dir():
        raise build.fault("directory", f"is no directory: {made.directory}")
    return made


def _sse(table: Table) -> SseEnd:
    usual = SseEnd()
    end = SseEnd(
        table.path("path", usual.path),
        table.line("ready", usual.ready),
        _envelope(table, usual.envelope),
        table.header_pairs("headers"),
    )
    table.done()
    return end


def _envelope(table: Table, usual: str) -> str:
    keys = table.line("envelope", usual)
    if keys and not all(keys.split(".")):
        raise table.fault("envelope", f"must be keys with dots between, such as pub.data, not {keys!r}")
    return keys


def _cable(table: Table) -> CableEnd:
    usual = CableEnd()
    end = CableEnd(
        table.path("path", usual.path),
        table.text("identifier", usual.identifier),
        table.header_pairs("headers"),
    )
    table.done()
    return end


def _deflate(table: Table) -> Deflate:
    more = Deflate(table.pairs("environment"), table.words("arguments"))
    table.done()
    return more


def _broadcast(table: Table, services: tuple[str, ...]) -> Broadcast:
    chosen = [way for way in WAYS if way in table]
    if len(chosen) > 1:
        raise table.fault(chosen[1], f"beside {chosen[0]} is one too many: choose how to publish")
    ways: dict[str, Broadcast] = {"http": _http(table.table("http")), "redis": _redis(table.table("redis"))}
    command = table.command("command")
    table.done()
    if chosen == ["command"]:
        return CommandPublish(command)
    if chosen == ["redis"] and "redis" not in services:
        raise table.fault("redis", 'needs a Redis: add services = ["redis"]')
    return ways[chosen[0] if chosen else "http"]


def _http(table: Table) -> HttpPublish:
    usual = HttpPublish()
    publish = HttpPublish(
        path=table.path("path", usual.path),
        token=table.line("token", usual.token),
        headers=table.header_pairs("headers"),
        body=table.template("body"),
        content_type=table.line("content_type", usual.content_type),
        batch=table.one_of("batch", ("ndjson", "each"), usual.batch),
        accepted=table.statuses("accepted", usual.accepted),
    )
    table.done()
    return publish


def _redis(table: Table) -> RedisPublish:
    publish = RedisPublish(table.text("channel", STREAM), table.template("message"))
    table.done()
    return publish


def _needs(table: Table, services: tuple[str, ...]) -> tuple[Need, ...]:
    """What the file says, and the programs of the services."""
    needs = [*service_needs(services)]
    for need in table.tables("needs"):
        kinds = [kind for kind in ("program", "module") if kind in need]
        if len(kinds) != 1:
            raise need.fault("program", "or module must be there, one of the two")
        needs.append(Need(kinds[0], need.text(kinds[0]), need.text("get")))
        need.done()
    return tuple(needs)
