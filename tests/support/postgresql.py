"""A PostgreSQL server of our own, for the tests: started as an unprivileged user, on a free loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

BINARIES = Path(os.environ.get("HPOSVC_TEST_POSTGRESQL_BIN", "/usr/lib/postgresql/15/bin"))
REMEDY = (
    f"PostgreSQL 15 was not found in {BINARIES}. Install it (Debian: apt-get install postgresql-15) or set "
    "HPOSVC_TEST_POSTGRESQL_BIN to the folder of initdb and pg_ctl. These tests are never skipped."
)


class PostgreSQL:
    """A server in a temporary directory; ``url(name)`` is the SQLAlchemy URL of one of its databases."""

    def __init__(self) -> None:
        if not (BINARIES / "initdb").exists():
            raise RuntimeError(REMEDY)
        # initdb refuses root
        self._user = "postgres" if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="hposvc-postgresql-"))
        self._data = self._directory / "data"
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self._directory, account.pw_uid, account.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run("initdb", "--username=hposvc", "--auth=trust", "--encoding=UTF8", "--no-sync", "-D", self._data)
        with (self._data / "postgresql.conf").open("a") as config:
            config.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self._directory}'\n"
                "max_connections = 200\nfsync = off\n"  # processes are killed here, machines are not
            )

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://hposvc@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The server's process id, while it runs."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        self._run("pg_ctl", "start", "-w", "-D", self._data, "-l", self._directory / "log")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "-w", "-m", mode, "-D", self._data)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def create(self, database: str, template: str = "template1") -> str:
        """A fresh database, or a copy of another one; returns its URL."""
        self._psql(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def drop(self, database: str) -> None:
        self._psql(f'DROP DATABASE "{database}" WITH (FORCE)')

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self._directory)

    def _psql(self, statement: str) -> None:
        self._run("psql", "-q", "-h", "127.0.0.1", "-p", self.port, "-U", "hposvc", "-d", "postgres", "-c", statement)

    def _run(self, program: str, *arguments: object) -> None:
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open for as long as the server runs
            done = subprocess.run(
                [BINARIES / program, *map(str, arguments)],
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
            if done.returncode:
                output.seek(0)
                raise RuntimeError(f"{program} {' '.join(map(str, arguments))} failed:\n{output.read()}")
