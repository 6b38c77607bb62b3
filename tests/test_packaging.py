"""What `pip install .` brings, and the image and the compose file as far as they can be run without Docker.

The steps of the Dockerfile are taken in a virtual environment: the requirements are those of the tests' own, the rest
is installed as the image installs it, from the files that .dockerignore lets through.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dashboard_rt.settings import Settings, described
from tests.live.server import Server, free_port
from tests.live.wire import Address, ask, until

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
SETTINGS = {name for _, name, _ in described()}
# A user of a container has none, and may write to its own files alone.
NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


def test_every_package_is_listed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"])
    found = {".".join(folder.relative_to(SOURCE).parts[:-1]) for folder in SOURCE.rglob("__init__.py")}
    assert listed == found | {"dashboard_rt.web"}


# ---- requirements.txt: what Heroku and the image install


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    found = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): number for name, _, number in found}


def test_the_pins_are_what_runs_here_and_fit_pyproject() -> None:
    pinned = pins()
    assert pinned == {name: version(name) for name in pinned}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_what_the_source_imports_is_pinned_with_all_that_it_needs() -> None:
    """Heroku and the image have nothing of requirements-dev.txt."""
    text = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", text, re.MULTILINE)) - sys.stdlib_module_names
    distributions = packages_distributions()
    needed = {canonicalize_name(distributions[name][0]) for name in imported if name in distributions}
    assert needed <= pins().keys()
    for name in pins():
        wanted = [Requirement(text) for text in requires(name) or ()]
        here = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
        assert {canonicalize_name(each.name) for each in here} <= pins().keys(), name


# ---- an installed copy


class Copy(NamedTuple):
    """The source as the image gets it, and the environment that it was installed into."""

    source: Path
    tree: Path

    @property
    def commands(self) -> Path:
        return self.tree / "bin"


def files_for_docker() -> list[str]:
    """What is under version control and passes .dockerignore, which names what it lets through."""
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    let_through = [line[1:] for line in lines if line.startswith("!")]
    command = ["git", "-C", str(ROOT), "ls-files", "-z", *let_through]
    listed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return listed.decode().split("\0")[:-1]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """Take the steps of the Dockerfile's first stage."""
    folder = tmp_path_factory.mktemp("image")
    found = Copy(folder / "source", folder / "venv")
    for name in files_for_docker():  # a copy: building writes into the tree that it builds
        (found.source / name).parent.mkdir(parents=True, exist_ok=True)
        (found.source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(found.tree)], check=True)
    python = found.commands / "python"
    (packages,) = found.tree.glob("lib/python*/site-packages")
    # As a path, which leaves out our own editable copy: .pth files count in site folders alone.
    (packages / "requirements.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", str(found.source)], check=True)
    return found


@pytest.mark.slow
@pytest.mark.live
def test_an_installed_copy_serves_the_page_and_its_files(copy: Copy, tmp_path: Path) -> None:
    where = "import dashboard_rt.http.pages as pages; print(pages.WEB)"
    printed = subprocess.run(
        [copy.commands / "python", "-I", "-c", where], cwd=tmp_path, stdout=subprocess.PIPE, check=True
    )
    web = Path(printed.stdout.decode().strip())
    assert web.is_relative_to(copy.tree)
    with Server(tmp_path, {"PYTHONPATH": str(web.parents[1])}) as server:
        page = ask(server.address, "GET", "/dashboard")
        assert page.status == 200
        for name in files_for_docker():
            if name.startswith("web/"):
                assert ask(server.address, "GET", f"/static/{name.removeprefix('web/')}").status == 200, name


# ---- the image


class Instruction(NamedTuple):
    """One line of a Dockerfile, with those that continue it."""

    word: str
    rest: str


def instructions() -> list[Instruction]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [Instruction(*line.split(None, 1)) for line in lines if line.strip()]


def last_stage() -> dict[str, str]:
    """What the image is run with; of several instructions of a kind the last one."""
    stage: dict[str, str] = {}
    for word, rest in instructions():
        stage = {} if word == "FROM" else {**stage, word: rest}
    return stage


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(last_stage()["ENV"]))


def test_the_image_is_not_root_and_is_told_how_to_stop() -> None:
    stage = last_stage()
    assert stage["USER"] not in ("root", "0")
    assert [word for word, _ in instructions()].index("USER") < [word for word, _ in instructions()].index(
        "CMD"
    )
    assert stage["STOPSIGNAL"] == "SIGTERM"
    assert stage["EXPOSE"] == image_environment()["PORT"]
    assert image_environment().keys() <= SETTINGS | {"PATH", "PYTHONUNBUFFERED"}
    assert stage["VOLUME"] == stage["WORKDIR"] == "/data"
    assert f"--owner {stage['USER']} --group {stage['USER']} {stage['VOLUME']}" in stage["RUN"]


def test_the_image_copies_what_dockerignore_lets_through() -> None:
    passed = {name.partition("/")[0] for name in files_for_docker()}
    copied: set[str] = set()
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            copied |= set(rest.split()[:-1])
    assert copied == passed
    for name in copied:
        assert (ROOT / name).exists()


@pytest.fixture
def read_only(copy: Copy) -> Iterator[None]:
    """The installed tree as the image's user finds it: nothing in it can be written to."""
    paths = [copy.tree, *(path for path in copy.tree.rglob("*") if not path.is_symlink())]
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    yield
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.mark.slow
@pytest.mark.live
@pytest.mark.usefixtures("read_only")
def test_the_image_serves_from_an_empty_volume_and_is_healthy_until_it_stops(
    copy: Copy, tmp_path: Path
) -> None:
    """By its CMD, with its ENV, without any capability, one process, and by its HEALTHCHECK."""
    stage = last_stage()
    address = Address("127.0.0.1", free_port())
    environment = {
        **{name: value.replace("/data", str(tmp_path)) for name, value in image_environment().items()},
        "PATH": f"{copy.commands}:{os.environ['PATH']}",
        "PORT": str(address.port),
    }
    health = json.loads(stage["HEALTHCHECK"].partition("CMD ")[2])
    without = NO_CAPABILITIES if os.getuid() == 0 else ()

    def healthy() -> bool:
        return subprocess.run(health, env=environment, capture_output=True, check=False).returncode == 0

    log = tmp_path / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*without, *json.loads(stage["CMD"])], cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
    try:
        until(lambda: server.poll() is not None or healthy(), "it is healthy", 30)
        assert server.poll() is None, log.read_text()
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
        assert not psutil.Process(server.pid).children(), "one process"
        report = ask(address, "GET", "/dashboard/debug").json()
        assert (report["settings"]["DEMO"], report["settings"]["WEB_CONCURRENCY"]) == ("off", 1)
        assert (tmp_path / "dashboard.db").exists()
        server.send_signal(signal.Signals[stage["STOPSIGNAL"]])
        assert server.wait(30) == 0, log.read_text()
        assert not healthy()
    finally:
        server.kill()
        server.wait()


# ---- docker-compose.yml


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_the_compose_file_has_settings_that_work() -> None:
    web = services()["web"]
    assert web["build"] == "."
    settings = Settings.read({**image_environment(), **web["environment"]})
    assert set(web["environment"]) <= SETTINGS
    # The page's buttons need no token there, so the port is this machine's alone.
    assert settings.demo and web["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    assert settings.allowed_hosts == ("localhost", "127.0.0.1")
    # Of the drain, the requests behind it and the end of a worker: see GRACE_SECONDS in server/serve.py.
    assert int(web["stop_grace_period"].removesuffix("s")) >= settings.drain_seconds + 10


def test_the_compose_file_starts_the_app_when_its_services_answer() -> None:
    found = services()
    assert found["web"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in found if name != "web"
    }
    for name, service in found.items():
        assert name == "web" or service["healthcheck"]["test"][0] == "CMD"
    url = Settings.read(found["web"]["environment"]).database_url
    account = {
        key.removeprefix("POSTGRES_").lower(): value
        for key, value in found["postgres"]["environment"].items()
    }
    assert url == "postgres://{user}:{password}@postgres/{db}".format(**account)
