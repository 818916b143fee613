"""Migrations forward, and the check at start that the database is what the code expects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from dbos import DBOS

from hposvc.db.engine import CONFIGURED, create_engine
from hposvc.db.tables import metadata
from hposvc.faults import Fault

VERSION_TABLE = "hposvc_alembic_version"
_ADVISORY_LOCK = 0x68706F737663  # "hposvc"


class SchemaError(Fault):
    """The database is not at the version of this code; the message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message, CONFIGURED)


class BehindError(SchemaError):
    """It has no tables yet, or those of an earlier version."""


class NewerError(SchemaError):
    """It is of a version that this code does not know."""


class ChangedError(SchemaError):
    """Someone changed its tables by hand."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", os.fspath(files("migrations")).replace("%", "%%"))  # type: ignore[call-overload]
    return config


@cache
def head() -> str:
    """The newest revision that this code knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def current(connection: sa.Connection) -> str | None:
    """The revision of the database; None for one that was never migrated."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def revisions() -> list[str]:
    """Every revision that this code knows, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


@contextmanager
def _exclusive(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A writing transaction that only one migration at a time gets."""
    with engine.connect().execution_options(begin="BEGIN IMMEDIATE") as connection:
        if engine.dialect.name == "sqlite":
            # SQLite alters a table by copying it and dropping the first, which would delete what refers to its rows.
            _outside_of_transactions(connection, "PRAGMA foreign_keys=OFF")
        with connection.begin():
            if engine.dialect.name == "postgresql":
                # A statement that waits for a lock makes all others behind it wait: give up long before leases run out.
                connection.execute(sa.text("SET LOCAL lock_timeout = '10s'"))
                connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            yield connection
            if engine.dialect.name == "sqlite":
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                if broken:
                    raise SchemaError(
                        f"the migration would leave rows that refer to nothing, so it was undone: {broken[:5]}"
                    )
        if engine.dialect.name == "sqlite":
            _outside_of_transactions(connection, "PRAGMA foreign_keys=ON")


def _outside_of_transactions(connection: sa.Connection, statement: str) -> None:
    """Execute on the driver's connection, which begins no transaction by itself; inside of one it would do nothing."""
    connection.connection.cursor().execute(statement)


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at ``url``, our tables and those of the queue, to ``revision``; safe to repeat.

    Everything happens in one transaction on either engine, and several processes may call it at once.
    Raises SchemaError for a database of a newer version, DatabaseURLError for a URL that cannot be used.
    """
    engine = create_engine(url)
    try:
        with _exclusive(engine) as connection:
            _refuse_newer(current(connection))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        DBOS.migrate(engine.url.render_as_string(hide_password=False))
    finally:
        engine.dispose()


def check(url: str) -> None:
    """Raise SchemaError unless the tables at ``url`` are those of this code: right revision, no column astray."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            revision = current(connection)
            _refuse_newer(revision)
            if revision != head():
                at = "has no tables yet" if revision is None else f"is at revision {revision}, behind {head()}"
                raise BehindError(f"the database {at}; run `hposvc db upgrade`")
            drift = _drift(connection)
        if drift:
            raise ChangedError(
                "the tables differ from what this version made, so someone changed them by hand:\n  "
                + "\n  ".join(drift)
                + "\nRestore them from a backup, or undo the change."
            )
    finally:
        engine.dispose()


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in revisions():
        raise NewerError(f"the database is at revision {revision}, which this version does not know; upgrade hposvc")


def _drift(connection: sa.Connection) -> list[str]:
    """How our tables differ from the code, one line each."""

    def ours(name: str | None, type_: str, parent_names: object) -> bool:
        return type_ != "table" or name in metadata.tables  # the queue's tables stand beside ours

    options = {"version_table": VERSION_TABLE, "include_name": ours, "compare_type": False}
    differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return [" ".join(str(part) for part in difference) for difference in differences]
