"""What a test needs and a machine may lack: a loud skip, and in CI, where it has to be installed, a failure."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

OLDEST_NODE = 20
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


def missing(what: str, remedy: str) -> NoReturn:
    """Skip, or fail where the environment says CI=true."""
    sentence = f"{what} IS MISSING, SO THIS WAS NOT TESTED. {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def node() -> str:
    """The path of a Node that is new enough."""
    path = shutil.which("node")
    if path is None or node_major(path) < OLDEST_NODE:
        missing(f"NODE >= {OLDEST_NODE}", "On Debian: apt install nodejs, or a build from nodejs.org.")
    return path


def node_major(path: str) -> int:
    """The major version that a Node says it is; 0 when it says nothing of the kind."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    match = re.match(r"v(\d+)\.", said)
    return int(match[1]) if match else 0


def node_modules(folder: Path) -> None:
    """The packages that a package.json of ours names."""
    if not (folder / "node_modules").is_dir():
        missing(f"{folder.name.upper()}'S NODE_MODULES", "Run scripts/setup-node.")


def chromium() -> str:
    """The path of a Chromium of the system's: Playwright's own builds are never downloaded."""
    for name in CHROMIUMS:
        if path := shutil.which(name):
            return path
    missing("CHROMIUM", "On Debian: apt install chromium.")


def openssl() -> str:
    """The path of the openssl command, which makes certificates."""
    return program("openssl", "openssl")


def redis_server() -> str:
    """The path of redis-server."""
    return program("redis-server", "redis-server")


def postgres_binaries() -> Path:
    """The folder of initdb, postgres and psql of the newest PostgreSQL that is installed."""
    # Debian does not put them on the PATH.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    if found is None:
        missing("POSTGRESQL", "On Debian: apt install postgresql.")
    return Path(found).resolve().parent


def nginx() -> str:
    """The path of nginx."""
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        missing("NGINX", "On Debian: apt install nginx.")
    return path


def two_cores() -> None:
    """One for the server and one for the load."""
    if len(os.sched_getaffinity(0)) < 2:
        missing("A SECOND CORE", "A neighbour is found on pinned cores: give the tests two.")


def ipv6() -> None:
    """Both families on one socket."""
    if not socket.has_dualstack_ipv6():
        missing("IPV6", "Switch it on in the kernel.")


def program(name: str, package: str) -> str:
    """The path of a command that a Debian package installs."""
    if path := shutil.which(name):
        return path
    missing(name.upper(), f"On Debian: apt install {package}.")
