"""What every test of the service can ask for: a fresh database of either kind, migrated or not."""

from __future__ import annotations

import logging
import secrets
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog

from hposvc.db import migrate
from hposvc.db.engine import create_engine
from tests.support import environment  # noqa: F401 - first, before Jittor changes what it notes
from tests.support.databases import mark_twins
from tests.support.harness import Service
from tests.support.postgresql import PostgreSQL

# Servers in the process of the tests log through the standard library, whose handlers take turns. structlog's own
# printer writes to sys.stdout from their threads while subtests put another one in its place, which can crash Python.
structlog.configure(
    processors=[structlog.processors.KeyValueRenderer()],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
)


# Shells let what they start in the background ignore Ctrl-C, and processes that tests start and interrupt inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_twins(items)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that ran in this process leaves a handler that writes to a stream which is closed by now."""
    root, config = logging.getLogger(), structlog.get_config()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)
    structlog.configure(**config)


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


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied: a migration takes longer than most tests."""
    path = tmp_path_factory.mktemp("migrated") / "hposvc.sqlite3"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: PostgreSQL) -> str:
    """The name of a migrated PostgreSQL database, to be copied."""
    migrate.upgrade(postgresql.create("migrated"))
    return "migrated"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        migrated: Path = request.getfixturevalue("migrated_sqlite")
        for file in migrated.parent.glob(f"{migrated.name}*"):  # with its write-ahead log, if it has one
            shutil.copy(file, tmp_path / file.name)
        yield f"sqlite:///{tmp_path / migrated.name}"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    name = f"test_{secrets.token_hex(6)}"
    yield server.create(name, template=request.getfixturevalue("migrated_postgresql"))
    server.drop(name)


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """Connections to ``database_url``."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """Real workers: a fresh database without workers; the test starts its own."""
    service = Service(database_url, tmp_path)
    yield service
    service.close()
