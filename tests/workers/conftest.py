"""Services with real workers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from hposvc.db import migrate
from tests.postgresql import PostgreSQL
from tests.workers.harness import Service


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """A fresh database without workers; the test starts its own."""
    service = Service(database_url, tmp_path)
    yield service
    service.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crew(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A database with one worker, shared by the tests of a module that neither stop nor kill it."""
    directory = tmp_path_factory.mktemp("crew")
    if request.param == "sqlite":
        url = f"sqlite:///{directory / 'hposvc.sqlite3'}"
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.create(f"crew_{secrets.token_hex(6)}")
    migrate.upgrade(url)
    service = Service(url, directory)
    service.worker()
    yield service
    service.close()
