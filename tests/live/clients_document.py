"""docs/clients.md and docs/rails.md: their blocks of code, and the package that the commands of the first install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests import needs

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "clients.md").read_text()
RAILS = (ROOT / "docs" / "rails.md").read_text()
SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(DOCUMENT))
RAILS_SECTIONS = dict(SECTION.findall(RAILS))
NODE = ROOT / "tests" / "live" / "node"


def block(section: str, language: str) -> str:
    """The one block of a language in a section of either document."""
    text = {**RAILS_SECTIONS, **SECTIONS}[section]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert isinstance(found, str)
    return found


def install_package(directory: Path) -> None:
    """Pack the client and install it, by the commands of the document, in a folder that holds nothing else of ours."""
    needs.node()
    needs.node_modules(NODE)
    shutil.copytree(ROOT / "web" / "client", directory / "web" / "client")
    commands = re.findall(r"^npm .*$", SECTIONS["In five minutes"], re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["pack", "install"]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    for command in commands:
        done = subprocess.run(
            command.split(),
            cwd=directory,
            env={**env, "npm_config_offline": "true", "npm_config_audit": "false"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(directory / "web")  # what was installed must not need it
