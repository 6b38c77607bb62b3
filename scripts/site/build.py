"""Builds the site: stages the documents, has Zensical build them, looks at what it built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.site import built
from scripts.site.document import ROOT, Document
from scripts.site.navigation import CONFIGURATION
from scripts.site.staging import Staging

STAGED = ROOT / "build" / "docs"
SITE = ROOT / "site"


def build(documents: list[Document], repository: str = "") -> list[str]:
    """Build `site/`; what is wrong with it, in sentences. Nothing is fetched."""
    Staging(ROOT, STAGED, documents, repository).write()
    # Zensical keeps pages that are gone, and warnings of pages that have not changed are not repeated from its cache.
    for old in (SITE, ROOT / ".cache"):
        shutil.rmtree(old, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(ROOT / CONFIGURATION)],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        return [f"zensical ended with {done.returncode}:\n{done.stdout.strip()}"]
    return list(built.problems(documents, SITE))


def size(folder: Path = SITE) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"
