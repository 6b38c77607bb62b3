"""Builds the site: stages the documents, has Zensical build them, looks at what it built."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.site import built
from scripts.site.document import ROOT, Document
from scripts.site.navigation import CONFIGURATION
from scripts.site.staging import Staging

WORK = ROOT / "build"
SITE = ROOT / "site"


def build(documents: list[Document], repository: str = "", work: Path = WORK, site: Path = SITE) -> list[str]:
    """Build `site`, with what is needed for it in `work`; return what is wrong with it, in sentences.

    Nothing is fetched from another host.
    """
    work.mkdir(parents=True, exist_ok=True)
    Staging(ROOT, work / "docs", documents, repository).write()
    # Zensical keeps pages that are gone, and its cache keeps back the warnings of pages that have not changed.
    for old in (site, work / "site", work / ".cache"):
        shutil.rmtree(old, ignore_errors=True)
    text = (ROOT / CONFIGURATION).read_text("utf-8")
    (work / CONFIGURATION).write_text(re.sub(r"(?m)^docs_dir: .*", "docs_dir: docs", text), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(work / CONFIGURATION)],
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        told = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).partition("Traceback")[0]
        return [f"zensical ended with {done.returncode}:\n{told.strip()}"]
    shutil.move(work / "site", site)
    # Its addresses begin at the root of a host. From disk or below a path it would be a page without style.
    (site / "404.html").unlink(missing_ok=True)
    return list(built.problems(documents, site))


def size(folder: Path = SITE) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"
