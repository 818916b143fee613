"""What every test of the service can ask for: a fresh database of either kind, migrated or not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.db.engine import create_engine
from tests.postgresql import PostgreSQL


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One PostgreSQL server for the session. Missing binaries are an error, never a skip."""
    server = PostgreSQL()
    server.start()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hposvc.sqlite3'}"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    name = f"test_{secrets.token_hex(6)}"
    yield server.create(name)
    server.drop(name)


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """A migrated database, once on SQLite and once on PostgreSQL."""
    migrate.upgrade(empty_database_url)
    return empty_database_url


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """Connections to ``database_url``."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()
