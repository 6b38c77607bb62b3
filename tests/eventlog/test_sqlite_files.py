"""eventlog/sqlite_files: where a URL leads, what a look sees, which files are whose."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard_rt.errors import BadSetting
from dashboard_rt.eventlog.sqlite_connection import WRITER_PRAGMAS, open_connection
from dashboard_rt.eventlog.sqlite_files import (
    UNKNOWN,
    DatabasePath,
    File,
    Files,
    is_same,
    look,
    refuse_leftovers,
)
from tests.logkit import url


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a file `real/x.db` in it and links to the file and to its directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.db").touch()
    (tmp_path / "link.db").symlink_to("real/x.db")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "dangling.db").symlink_to("real/new.db")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("real/x.db", "real/x.db"),
        ("./real/x.db", "real/x.db"),
        ("link.db", "real/x.db"),
        ("folder/x.db", "real/x.db"),
        ("folder/../real/x.db", "real/x.db"),
        ("dangling.db", "real/new.db"),
        ("new.db", "new.db"),
        ("a%20b%3Fc%23d%25.db", "a b?c#d%.db"),
        ("file:x.db", "file:x.db"),
        ("nowhere/x.db", "nowhere/x.db"),
    ],
)
def test_where_a_url_leads(folder: Path, path: str, real: str) -> None:
    for text in (f"sqlite:///{path}", f"sqlite:///{folder}/{path}"):
        found = DatabasePath(text)
        os.chdir("/")  # a process may, and the path stays what it was
        found.resolve()
        assert found.real == str(folder / real)
        os.chdir(folder)


@pytest.mark.parametrize("path", ["real", "real/", "folder", "folder/", ".", "new/", ""])
def test_a_directory_is_a_bad_setting(folder: Path, path: str) -> None:
    with pytest.raises(BadSetting, match=r"^DATABASE_URL: .* is a directory"):
        DatabasePath(f"sqlite:///{folder}/{path}").resolve()


def test_what_a_look_sees(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("12345")
    (tmp_path / "loop").symlink_to("loop")
    seen = look(f"{tmp_path}/x")
    assert seen is not None and (seen.size, seen.inode) == (5, (tmp_path / "x").stat().st_ino)
    for nothing in ("y", "x/y", "y/y", "loop"):
        assert look(f"{tmp_path}/{nothing}") is None


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ENAMETOOLONG])
def test_a_look_that_fails_says_nothing(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def failing(path: str) -> os.stat_result:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "stat", failing)
    assert look("x") is UNKNOWN


ONE, WRITTEN, OTHER, EMPTY = File(1, 1, 9, 1), File(1, 1, 10, 2), File(1, 2, 9, 1), File(1, 1, 0, 3)
WAL, SHM = File(1, 3, 0, 1), File(1, 4, 0, 1)


@pytest.mark.parametrize(
    ("now", "replaced"),
    [
        (Files(ONE, WAL, SHM), False),
        (Files(WRITTEN, WAL, SHM), False),
        (Files(OTHER, WAL, SHM), True),
        (Files(EMPTY, WAL, SHM), True),
        (Files(None, WAL, SHM), True),
        (Files(ONE, None, SHM), True),
        (Files(ONE, OTHER, SHM), True),
        (Files(ONE, WAL, None), True),
        (Files(UNKNOWN, UNKNOWN, UNKNOWN), False),
        (Files(UNKNOWN, WAL, None), True),
    ],
)
def test_which_files_are_still_the_open_ones(now: Files, replaced: bool) -> None:
    assert Files(ONE, WAL, SHM).replaced_by(now) is replaced


def test_a_link_to_the_same_file_is_another_place(tmp_path: Path) -> None:
    path = DatabasePath(url(tmp_path))
    (tmp_path / "test.db").write_text("x")
    opened = path.look()
    assert not opened.replaced_by(path.look())
    (tmp_path / "test.db").rename(tmp_path / "moved.db")
    (tmp_path / "test.db").symlink_to("moved.db")
    assert opened.replaced_by(path.look())


def test_a_file_that_another_process_has_open_without_its_wal_is_left_behind(tmp_path: Path) -> None:
    path = DatabasePath(url(tmp_path))
    assert not path.is_left_behind()
    holding = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = WAL');"
        "c.execute('CREATE TABLE t (a)'); print(flush=True); input()"
    )
    command = [sys.executable, "-c", holding, path.real]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdout.readline()
        assert not path.is_left_behind()
        (tmp_path / "test.db-shm").unlink()
        assert path.is_left_behind()
        with open(path.real, "rb"):  # its locks would be lost: this process cannot ask
            assert not path.is_left_behind()
        holder.stdin.close()
    assert not path.is_left_behind()


def test_a_file_that_never_was_there_is_not_replaced() -> None:
    assert not Files(ONE, None, None).replaced_by(Files(WRITTEN, None, None))
    assert Files(ONE, None, None).replaced_by(Files(ONE, WAL, None))
    assert is_same(None, UNKNOWN) and is_same(UNKNOWN, ONE) and not is_same(None, ONE)


def test_only_the_files_that_were_open_are_removed(tmp_path: Path) -> None:
    path = DatabasePath(url(tmp_path))
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"test.db{suffix}").touch()
    opened = path.look()
    (tmp_path / "new").touch()
    (tmp_path / "new").rename(tmp_path / "test.db-wal")
    path.remove_leftovers(opened)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["test.db", "test.db-wal"]
    path.remove_leftovers(opened)
    path.remove_leftovers(Files(UNKNOWN, UNKNOWN, UNKNOWN))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["test.db", "test.db-wal"]


def test_one_process_at_a_time_opens_what_has_replaced_a_file(tmp_path: Path) -> None:
    one, other = DatabasePath(url(tmp_path)), DatabasePath(url(tmp_path))
    with one.only_opener(), pytest.raises(OSError), other.only_opener():
        pass
    with other.only_opener():
        pass


# ---- what a server that was killed leaves beside a file


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """A directory as a server leaves it that was killed: with a WAL."""
    source = tmp_path / "source"
    source.mkdir()
    writer = open_connection(WRITER_PRAGMAS, source / "test.db", isolation_level=None)
    writer.execute("CREATE TABLE t (a)")
    shutil.copytree(source, tmp_path / "killed")
    yield tmp_path / "killed"
    writer.close()


def test_a_wal_that_nobody_has_open_is_refused(killed: Path) -> None:
    with pytest.raises(BadSetting, match=r"test\.db-wal may belong to another .*remove its -wal, -shm"):
        refuse_leftovers(url(killed))
    (killed / "test.db-wal").rename(killed / "test.db-journal")
    with pytest.raises(BadSetting, match=r"test\.db-journal may belong"):
        refuse_leftovers(url(killed))


def test_a_wal_is_refused_through_a_link_too(killed: Path, tmp_path: Path) -> None:
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "test.db").symlink_to(killed / "test.db")
    with pytest.raises(BadSetting, match="may belong to another"):
        refuse_leftovers(url(tmp_path / "link"))


def test_a_wal_that_was_removed_or_read_is_not_refused(killed: Path) -> None:
    recovered = sqlite3.connect(killed / "test.db")
    recovered.execute("SELECT * FROM t")
    recovered.close()
    refuse_leftovers(url(killed))


@pytest.mark.parametrize("size", [None, 0])
def test_a_wal_beside_no_database_is_not_refused(killed: Path, size: int | None) -> None:
    """SQLite does not read it, because an empty database has nothing to recover."""
    (killed / "test.db").unlink()
    if size is not None:
        (killed / "test.db").touch()
    refuse_leftovers(url(killed))
    opened = sqlite3.connect(killed / "test.db")
    assert opened.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    opened.close()
