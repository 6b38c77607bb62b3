"""What `pip install .` brings: the packages of src/, and web/ inside them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.live.server import Server
from tests.live.wire import ask

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"


def test_every_package_is_listed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"])
    found = {".".join(folder.relative_to(SOURCE).parts[:-1]) for folder in SOURCE.rglob("__init__.py")}
    assert listed == found | {"dashboard_rt.web"}


@pytest.mark.slow
@pytest.mark.live
def test_an_installed_copy_serves_the_page_and_its_files(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    # A copy: building writes into the tree that it builds.
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "pyproject.toml", "README.md", "LICENSE", "src", "web"],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    for name in tracked.decode().split("\0")[:-1]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(installed), str(source)], check=True)
    where = "import dashboard_rt.http.pages as pages; print(pages.WEB)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    printed = subprocess.run(
        [sys.executable, "-c", where], env=environment, stdout=subprocess.PIPE, check=True
    )
    assert printed.stdout.decode().strip() == str(installed / "dashboard_rt" / "web")
    with Server(tmp_path, {"PYTHONPATH": str(installed)}) as server:
        page = ask(server.address, "GET", "/dashboard")
        assert page.status == 200
        for name in tracked.decode().split("\0"):
            if name.startswith("web/"):
                assert ask(server.address, "GET", f"/static/{name.removeprefix('web/')}").status == 200, name
