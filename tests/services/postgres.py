"""A PostgreSQL of the tests' own: the installed binaries, a cluster in a temporary folder, an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from tests.needs import postgres_binaries
from tests.services.certificates import Certificate
from tests.services.process import Service

USER = "tests"
# Nobody pulls the plug of the machine in a test: what is committed survives the end of every process without fsync.
QUICK = ("-c", "fsync=off", "-c", "full_page_writes=off")

CLEAR = """
DO $$
DECLARE tables text;
BEGIN
  SELECT string_agg(tablename, ', ') INTO tables FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'meta';
  IF tables IS NOT NULL THEN
    EXECUTE 'TRUNCATE ' || tables || ' RESTART IDENTITY';
    DELETE FROM meta WHERE key <> 'schema_version';
  END IF;
END $$
"""


class PostgresServer(Service):
    """A cluster of its own. `options` are those of `postgres`; the default is quick, not safe from power cuts.

    With a certificate (`tls`) it refuses connections without TLS.
    """

    name = "postgres"

    def __init__(self, directory: Path, *options: str, tls: Certificate | None = None) -> None:
        self._binaries = postgres_binaries()
        owner = unprivileged()
        if owner is not None:
            os.chown(directory, owner.pw_uid, owner.pw_gid)
            super().__init__(directory, owner.pw_uid, owner.pw_gid)
        else:
            super().__init__(directory)
        self._options = options or QUICK
        if tls is not None:
            self._options += self._tls_options(tls)
        self._databases = count(1)
        self._cleared = ""

    def command(self) -> Sequence[str]:
        listen = ("-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
        return (str(self._binaries / "postgres"), "-D", str(self.directory / "data"), *listen, *self._options)

    def _tls_options(self, tls: Certificate) -> tuple[str, ...]:
        """Give it files of its own: it refuses a key that another user can read, or owns."""
        own = Certificate(self.directory / "key.pem", self.directory / "certificate.pem")
        for source, copy in zip(tls, own, strict=True):
            shutil.copyfile(source, copy)
            copy.chmod(0o600)
            if self._ids:
                os.chown(copy, self._ids["user"], self._ids["group"])
        access = self.directory / "access.conf"
        access.write_text("hostssl all all 127.0.0.1/32 trust\n")
        files = {"ssl_cert_file": own.certificate, "ssl_key_file": own.key, "hba_file": access}
        return ("-c", "ssl=on", *(word for name, path in files.items() for word in ("-c", f"{name}={path}")))

    def start(self) -> None:
        if not (self.directory / "data").exists():
            words = ("-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
            made = subprocess.run(
                [self._binaries / "initdb", "-D", self.directory / "data", *words],
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                **self._ids,
            )
            assert made.returncode == 0, f"initdb: {made.stderr}"
        super().start()

    def copy(self, primary: PostgresServer) -> None:
        """Make it a standby of another server, before it is started."""
        where = f"host=127.0.0.1 port={primary.port} user={USER}"
        data = str(self.directory / "data")
        made = subprocess.run(
            [self._binaries / "pg_basebackup", "-d", where, "-D", data, "-R", "-c", "fast", "--no-sync"],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **self._ids,
        )
        assert made.returncode == 0, f"pg_basebackup: {made.stderr}"

    def answers(self) -> bool:
        return self._client("pg_isready", "-q").returncode == 0

    def _client(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", USER)
        return subprocess.run(
            [self._binaries / program, *where, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement with psql; its rows, fields with `|` between."""
        done = self._client("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement)
        assert done.returncode == 0, f"{statement}: {done.stderr}"
        return done.stdout.strip()

    def new_database(self) -> str:
        """Make an empty database; its name."""
        name = f"test{next(self._databases)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def cleared_database(self) -> str:
        """Clear a database that is made once and keeps its tables: a quarter of the time of a new one; its name."""
        if not self._cleared:
            self._cleared = self.new_database()
        others = f"pg_stat_activity WHERE datname = '{self._cleared}' AND pid <> pg_backend_pid()"
        self.sql(f"SELECT pg_terminate_backend(pid) FROM {others}; {CLEAR}", self._cleared)
        return self._cleared

    def url(self, database: str, port: int | None = None) -> str:
        """The URL of a database; through another port where a proxy stands in front."""
        return f"postgresql://{USER}@127.0.0.1:{port or self.port}/{database}"


def unprivileged() -> pwd.struct_passwd | None:
    """Return whom PostgreSQL can run as; None when that is us. It refuses root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
