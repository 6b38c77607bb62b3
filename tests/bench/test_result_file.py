"""bench/result_file.py: a folder is looked at before it is needed, and a full disk costs no result."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from bench import result
from bench.errors import Environment
from bench.result import Result
from bench.result_file import ResultFile, check_folder
from tests.bench import results as made

DOCUMENT = made.result(made.run("app", "sse", 0, us_per_delivery=7.0))


class Disk:
    """result.write, to folders of which some are full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full: list[Path] = []
        self._write = result.write
        monkeypatch.setattr(result, "write", self.write)

    def write(self, found: Result, out: Path) -> Path:
        if any(out.is_relative_to(one) for one in self.full):
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(found, out)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    check_folder(tmp_path / "deep" / "er")
    assert list((tmp_path / "deep" / "er").iterdir()) == []


def test_what_is_no_folder_is_found_before_anything_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for out in (file, file / "below", Path("/proc/none")):
        with pytest.raises(
            Environment, match=rf"results cannot be written to {out} \(.+\): name another folder"
        ):
            check_folder(out)


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    with pytest.raises(Environment, match=r"\(Permission denied\): name another folder with --out"):
        check_folder(tmp_path)


def test_a_disk_that_is_full_late_costs_nothing(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    said: list[str] = []
    kept = ResultFile(tmp_path / "out", said.append)
    kept.write(DOCUMENT)
    assert kept.path == tmp_path / "out" / f"{DOCUMENT.id}.json"
    disk.full.append(tmp_path / "out")
    for _ in range(2):
        kept.write(DOCUMENT)
        assert kept.path is not None and kept.path.is_relative_to(elsewhere)
        assert result.read(kept.path) == DOCUMENT
    (words,) = said
    assert "takes no more results (No space left on device): they are kept in " in words


def test_no_room_anywhere_is_said_with_what_is_kept(tmp_path: Path, disk: Disk) -> None:
    kept = ResultFile(tmp_path)
    kept.write(DOCUMENT)
    disk.full.append(Path("/"))
    with pytest.raises(Environment, match=rf"the runs before this one are in {tmp_path}/.*; make room"):
        kept.write(DOCUMENT)


def test_half_a_file_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: Path, text: str, **_: object) -> int:
        with self.open("w") as file:
            file.write(text[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space"):
        result.write(DOCUMENT, tmp_path)
    assert list(tmp_path.iterdir()) == []
