from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests import needs

SETUP_SERVICES = Path(__file__).parents[1] / "scripts" / "setup-services"


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


def test_a_package_that_apt_lacks_keeps_no_other_back(bare_machine: Path) -> None:
    for name in ("ls", "mktemp", "rm", "tail"):
        found = shutil.which(name, path=os.defpath)
        assert found is not None
        (bare_machine / name).symlink_to(found)
    executable(bare_machine / "id", "echo 0")
    executable(bare_machine / "google-chrome", "")
    executable(
        bare_machine / "apt-get", 'case "$*" in *caddy*) exit 100 ;; install*) echo "$*" >>"$0.log" ;; esac'
    )
    done = subprocess.run(["/bin/sh", str(SETUP_SERVICES)], capture_output=True, text=True, check=True)
    installed = (bare_machine / "apt-get.log").read_text()
    assert "openssl" in installed and "redis-server" in installed and "chromium" not in installed
    assert "missing: caddy. Their tests will be skipped" in done.stderr
