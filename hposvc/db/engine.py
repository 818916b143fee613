"""Connections: one way to open, to read and to write, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hposvc.faults import Fault
from hposvc.files.private import private_file

BUSY_TIMEOUT_MS = 30_000
SCHEMES = {"sqlite": "sqlite:///path/to/hposvc.sqlite3", "postgresql": "postgresql+psycopg://user@host/database"}


MOST_CONNECTIONS = 45  # of one process; the API has as many threads that may ask, and opens what they need
KEPT_CONNECTIONS = 5

CONFIGURED = "See `hposvc config` for the database in use."


class DatabaseURLError(Fault):
    """The database URL is not one that the service can use; the message says what to write instead."""

    def __init__(self, message: str) -> None:
        super().__init__(message, CONFIGURED)


def parse_url(url: str) -> sa.URL:
    """The URL with the driver that the service uses. Raises DatabaseURLError."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise DatabaseURLError(f"not a database URL; write one like {' or '.join(SCHEMES.values())}") from error
    backend = parsed.get_backend_name()
    if backend not in SCHEMES:
        raise DatabaseURLError(f"{backend} is not supported; use one of {' or '.join(SCHEMES.values())}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DatabaseURLError(f"an in-memory database cannot be shared by processes; use {SCHEMES['sqlite']}")
    return parsed.set(drivername="postgresql+psycopg") if backend == "postgresql" else parsed


def create_engine(url: str) -> sa.Engine:
    """An engine for ``url``; nothing is connected yet. Raises DatabaseURLError."""
    parsed = parse_url(url)
    return _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql_engine(parsed)


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    file = Path(str(url.database)).absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    # autocommit in the driver: the transactions are ours, see _begin
    engine = sa.create_engine(
        url,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=MOST_CONNECTIONS - KEPT_CONNECTIONS,
        hide_parameters=True,  # errors are logged, and a parameter may be a secret
        connect_args={"isolation_level": None, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: Any) -> None:
        private_file(file)  # its log gets the same rights
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")  # first: the next line may have to wait
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # what was confirmed survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        hide_parameters=True,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=MOST_CONNECTIONS - KEPT_CONNECTIONS,
        pool_pre_ping=True,  # a restarted server costs a reconnect, not an error
        connect_args={
            "application_name": "hposvc",
            "connect_timeout": 10,
            # a stopped process must not keep its row locks for longer than others can wait
            "options": "-c idle_in_transaction_session_timeout=20s -c lock_timeout=20s -c statement_timeout=60s",
        },
    )


@contextmanager
def unreachable_is_fault() -> Iterator[None]:
    """Raise Fault for a database that cannot be reached, for commands that need it at once."""
    try:
        yield
    except sa.exc.OperationalError as error:
        raise Fault(f"the database cannot be used: {error.orig}", "Look at HPOSVC_DATABASE_URL.") from error


@contextmanager
def read(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that only reads."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def write(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that writes, committed at the end of the block and rolled back by an exception.

    On SQLite it takes the write lock at once: a transaction that read first and then wants to write would fail
    without waiting when another writer came in between.
    """
    with engine.connect().execution_options(begin="BEGIN IMMEDIATE") as connection, connection.begin():
        yield connection


def is_transient(error: sa.exc.DBAPIError) -> bool:
    """Whether the same statement may succeed later: a lost connection, a lock, a full disk."""
    return error.connection_invalidated or isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))
