"""The real service on both databases, with a small data set to review."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.reviewing import add_flowers
from tests.support.serving import Server


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    with Server(database_url, tmp_path) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def flowers(client: httpx.Client) -> str:
    """The path of a data set of 60 rows: ids f-00 to f-59, three classes."""
    return add_flowers(client)
