"""The real service, with a store that can be looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Server


@pytest.fixture(scope="module")
def server(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """On SQLite: what is tested here happens before the database."""
    folder = tmp_path_factory.mktemp("service")
    for file in migrated_sqlite.parent.glob(f"{migrated_sqlite.name}*"):
        shutil.copy(file, folder / file.name)
    with Server(f"sqlite:///{folder / migrated_sqlite.name}", folder) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=120) as client:
        yield client
