from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests import needs


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with nothing installed, outside CI."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


@pytest.mark.parametrize(("need", "name"), [(needs.node, "NODE >= 20"), (needs.chromium, "CHROMIUM")])
def test_what_is_missing_is_skipped_loudly(need: object, name: str) -> None:
    assert callable(need)
    with pytest.raises(pytest.skip.Exception, match=f"^{name} IS MISSING, SO THIS WAS NOT TESTED"):
        need()


@pytest.mark.parametrize("need", [needs.node, needs.chromium])
def test_what_is_missing_in_ci_is_a_failure(need: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(need)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="IS MISSING"):
        need()


@pytest.mark.parametrize("says", ["v18.19.0", "nothing useful"])
def test_an_old_node_is_none(bare_machine: Path, says: str) -> None:
    executable(bare_machine / "node", f"echo '{says}'")
    with pytest.raises(pytest.skip.Exception, match="NODE >= 20 IS MISSING"):
        needs.node()


def test_a_new_one_is_found(bare_machine: Path) -> None:
    executable(bare_machine / "node", "echo v22.1.0")
    executable(bare_machine / "chromium", "")
    assert needs.node() == str(bare_machine / "node")
    assert needs.chromium() == str(bare_machine / "chromium")
