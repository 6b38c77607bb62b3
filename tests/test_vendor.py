"""web/vendor/: what others made is there as they published it, with its licence, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

VENDOR = Path(__file__).parents[1] / "web" / "vendor"
FOLDERS = sorted(path for path in VENDOR.iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_each_file_is_the_published_one(folder: Path) -> None:
    vendor = json.loads((folder / "VENDOR.json").read_text("utf-8"))
    there = {path.name: path for path in folder.iterdir() if path.name != "VENDOR.json"}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in there.items()} == vendor[
        "sha256"
    ]
    assert vendor["name"] and vendor["version"] and vendor["source"].startswith("https://")
    assert f"The {vendor['license']} License" in there["LICENSE"].read_text("utf-8")
