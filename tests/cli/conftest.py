"""A command that runs in a world of its own, and the real service to point it at."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import HPOSVC, ServerProcess
from tests.support.environment import without_settings


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("HPOSVC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HPOSVC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)  # no .env but the test's own


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """An API without a worker: jobs stay queued."""
    data_dir = tmp_path_factory.mktemp("api") / "data"
    subprocess.run([HPOSVC, "db", "upgrade"], env=without_settings(HPOSVC_DATA_DIR=str(data_dir)), check=True)
    server = ServerProcess("api", data_dir)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The whole service: API and worker."""
    server = ServerProcess("up", tmp_path_factory.mktemp("up") / "data")
    yield server
    server.stop()
