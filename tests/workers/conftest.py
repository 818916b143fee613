"""Services with real workers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from hposvc.db import migrate
from tests.support.harness import Service
from tests.support.postgresql import PostgreSQL


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
