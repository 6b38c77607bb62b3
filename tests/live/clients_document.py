"""docs/clients.md: its blocks of code, and the package that its commands make and install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests import needs

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "clients.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))
NODE = ROOT / "tests" / "live" / "node"


def block(section: str, language: str) -> str:
    """The one block of a language in a section."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)
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
