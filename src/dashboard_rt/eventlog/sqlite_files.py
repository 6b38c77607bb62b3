"""The files of a SQLite database: where its name leads, whether they are still the open ones, what lies beside them.

Knows no connection. It looks at names, and opens no database that this process has open: POSIX locks belong to a
process and an inode, so closing any descriptor of the file would drop those that SQLite holds on it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import unquote

from ..errors import BadSetting

# What os.stat fails with where a path leads to no file.
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
# The bytes that everybody locks who has a database open in WAL mode (SQLite's os.h: SHARED_FIRST, SHARED_SIZE).
SHARED_FIRST, SHARED_SIZE = 0x40000002, 510


class File(NamedTuple):
    """What one look at a file saw; `modified_ns` is Unix ns."""

    device: int
    inode: int
    size: int
    modified_ns: int


UNKNOWN = File(-1, -1, -1, -1)  # a look that failed: nobody can tell what is there


def look(path: str, follow: bool = True) -> File | None:
    """Return what a path leads to: None for nothing, UNKNOWN when the system does not say."""
    try:
        found = os.stat(path) if follow else os.lstat(path)
    except OSError as error:
        return None if error.errno in NOT_THERE else UNKNOWN
    return File(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def is_same(one: File | None, other: File | None) -> bool:
    """Tell whether two looks saw one file, whatever has been written to it. UNKNOWN is the same as anything."""
    if one is None or other is None:
        return one is other or one is UNKNOWN or other is UNKNOWN
    return one[:2] == other[:2] or one is UNKNOWN or other is UNKNOWN


class Files(NamedTuple):
    """One look at all files of a database. SQLite keeps the last two as long as anybody has it open.

    `target` is what is in the place beside which those two are. The name leads to it, unless a symbolic link was put
    there: then the next to open the name keeps its WAL elsewhere, even where it leads to the same file.
    """

    database: File | None
    wal: File | None
    shm: File | None
    target: File | None = None

    @property
    def name(self) -> str:
        """What distinguishes these files from all others that are on the machine now."""
        return "-".join(f"{file.device:x}.{file.inode:x}" for file in (self.database, self.wal) if file)

    @property
    def emptied(self) -> bool:
        """Whether the database was cut down to nothing: one that has been opened has its first page."""
        return self.database is not None and self.database.size == 0

    def replaced_by(self, now: Files) -> bool:
        """Tell whether a commit to the files of this look may be lost to who opens those of a later look."""
        return now.emptied or not all(map(is_same, self, now))


class DatabasePath:
    """The path that a URL names.

    `named` is absolute, because a process may change its directory. `real` is where that led when it was resolved
    last: there SQLite puts the other files, beside the target of a symbolic link.
    """

    def __init__(self, url: str) -> None:
        """Take `sqlite:///<path>`; BadSetting otherwise: options in the URL would become part of the file's name."""
        path = unquote(url.removeprefix("sqlite:///"))
        if not re.fullmatch(r"sqlite:///[^?#]+", url) or path == ":memory:" or "\0" in path:
            raise BadSetting("DATABASE_URL must be a SQLite file such as sqlite:///./dashboard.db.")
        # Not abspath: what `..` means depends on the symbolic links before it.
        self.named = os.path.join(os.getcwd(), path)
        self.real = self.named

    def resolve(self) -> None:
        """Follow the symbolic links as they are now. BadSetting when they lead to a directory."""
        self.real = os.path.realpath(self.named)
        if os.path.isdir(self.real) or self.named.endswith("/"):
            raise BadSetting(f"DATABASE_URL: {self.named} is a directory. Name a file in it.")

    def look(self) -> Files:
        """Look at all files."""
        target = look(self.real, follow=False)
        return Files(look(self.named), look(f"{self.real}-wal"), look(f"{self.real}-shm"), target)

    def opened(self, files: Files) -> tuple[tuple[str, ...], list[tuple[int, int]]]:
        """Return paths and inodes of the files that are there: the name first, and the WAL, which grows, last."""
        paths = (self.named, self.real, f"{self.real}-shm", f"{self.real}-wal")
        found = (files.database, files.target, files.shm, files.wal)
        there = [(path, file[:2]) for path, file in zip(paths, found, strict=True) if file is not None]
        return tuple(path for path, _ in there), [inode for _, inode in there]

    @contextmanager
    def only_opener(self) -> Iterator[None]:
        """Keep other processes that reopen the database from doing so at the same time. OSError when one does."""
        folder = os.open(os.path.dirname(self.real), os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(folder)

    def is_left_behind(self) -> bool:
        """Tell whether another process still has the database open whose -wal or -shm was removed.

        It would go on by files that nobody else sees, and write over what others commit meanwhile. Whoever has opened
        it since then has made both anew. Asked before this process opens it; False when that cannot be told.
        """
        now = self.look()
        if not (now.database and now.database.size) or (now.wal and now.shm) or _is_open_here(now.database):
            return False
        try:
            return _is_open(self.real)
        except (BadSetting, OSError):  # SQLite says it better
            return False

    def remove_leftovers(self, opened: Files) -> None:
        """Remove what is left beside the path of a database that was replaced: SQLite would read it into the new one.

        Only the very files that are open, and only while they are: once closed, their inodes may be somebody else's.
        """
        for suffix, file in (("-wal", opened.wal), ("-shm", opened.shm)):
            found = look(self.real + suffix)
            if found is not None and file is not None and found[:2] == file[:2] != UNKNOWN[:2]:
                os.unlink(self.real + suffix)


def refuse_leftovers(url: str) -> None:
    """Refuse to go on beside a WAL that nobody has open: BadSetting, with what to do.

    A server that was killed leaves one, and its next start reads it into whatever file has the database's name: a
    backup that was put there is undone. Nothing in a WAL says to which file it belongs.
    """
    path = DatabasePath(url)
    path.resolve()
    database = look(path.real)
    if database is None or not database.size or _is_open(path.real):
        return
    for suffix in ("-wal", "-journal"):
        found = look(path.real + suffix)
        if found is not None and found.size:
            raise BadSetting(
                f"{path.real}{suffix} may belong to another database, and would undo what was restored. If"
                f" {path.real} was restored, stop every server, remove its -wal, -shm and -journal, and run this"
                " again. If it was not, run `dashboard-rt init` without --new-epoch first."
            )


def _is_open_here(file: File) -> bool:
    """Tell whether this process has a file open, for whatever it may be."""
    return any(is_same(look(f"/dev/fd/{descriptor}"), file) for descriptor in os.listdir("/dev/fd"))


def _is_open(path: str) -> bool:
    """Tell whether another process has the database open. For a process that has not: see the top."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise BadSetting(f"DATABASE_URL: this file cannot be used ({error}).") from error
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(file)
    return False
