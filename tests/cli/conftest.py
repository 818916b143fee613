"""A command that runs in a world of its own, and the real service to point it at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from hposvc.client import Client
from hposvc.operate.embedded import announced
from hposvc.settings import Settings
from tests.environment import without_settings

SECONDS = 60  # nothing below takes this long unless it hangs
T = TypeVar("T")
HPOSVC = Path(sys.executable).with_name("hposvc")


def until(look: Callable[[], T | None], what: str) -> T:
    """The first answer of ``look`` that is something."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {SECONDS} s")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("HPOSVC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HPOSVC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)  # no .env but the test's own


class Server:
    """``hposvc up`` or ``hposvc api`` as a process, on a free port."""

    def __init__(self, command: str, data_dir: Path, **variables: str) -> None:
        self.settings = Settings(data_dir=data_dir)
        self.log = data_dir.with_suffix(".log")
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [HPOSVC, command, "--port", "0"],
                env=without_settings(**{"HPOSVC_DATA_DIR": str(data_dir)} | variables),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.url = until(self._address, f"an address ({self.log})")
        with Client(self.url) as client:
            until(client.is_ready, "readiness")

    def _address(self) -> str | None:
        assert self.process.poll() is None, self.log.read_text()
        url = announced(self.settings).get("url")
        return url if url is None else str(url)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(SECONDS)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An API without a worker: jobs stay queued."""
    data_dir = tmp_path_factory.mktemp("api") / "data"
    subprocess.run([HPOSVC, "db", "upgrade"], env=without_settings(HPOSVC_DATA_DIR=str(data_dir)), check=True)
    server = Server("api", data_dir)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The whole service: API and worker."""
    server = Server("up", tmp_path_factory.mktemp("up") / "data")
    yield server
    server.stop()
