"""docs/clients.md, docs/rails.md and docs/access.md: their blocks of code, and the package that the first installs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests import needs

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "clients.md").read_text()
SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(DOCUMENT))
OTHERS = {
    name: dict(SECTION.findall((ROOT / "docs" / f"{name}.md").read_text())) for name in ("rails", "access")
}
NODE = ROOT / "tests" / "live" / "node"


def block(section: str, language: str) -> str:
    """The one block of a language in a section of docs/clients.md."""
    (found,) = blocks_of(SECTIONS[section], language)
    return found


def blocks(document: str, section: str, language: str) -> list[str]:
    """The blocks of a language in a section of one of the other documents."""
    return blocks_of(OTHERS[document][section], language)


def blocks_of(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def install_package(directory: Path) -> None:
    """Pack the client and install it, by the commands of the document, in a folder that holds nothing else of ours."""
    needs.node()
    needs.node_modules(NODE)
    checkout = directory / "checkout"
    shutil.copytree(ROOT / "web" / "client", checkout / "web" / "client")
    commands = re.findall(r"^npm .*$", SECTIONS["In five minutes"], re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["pack", "install"]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    for command in commands:
        done = subprocess.run(
            command.replace("../dashboard-rt/", f"{checkout}/").split(),
            cwd=directory,
            env={**env, "npm_config_offline": "true", "npm_config_audit": "false"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(checkout)  # what was installed must not need it
