"""The command line and the services that it starts, as processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from click.testing import Result
from typer.testing import CliRunner

from hposvc.cli import app
from hposvc.client import Client
from hposvc.operate.embedded import announced
from hposvc.settings import Settings
from tests.support.environment import without_settings

SECONDS = 60  # nothing below takes this long unless it hangs
T = TypeVar("T")
HPOSVC = Path(sys.executable).with_name("hposvc")
SPEC = "kind: data_reweighting\nname: three wines\ndataset: {id: 'sklearn:wine'}\n"


def until(look: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """The first answer of ``look`` that is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class ServerProcess:
    """``hposvc up`` or ``hposvc api`` as a process, on a free port."""

    def __init__(self, command: str, data_dir: Path, **variables: str) -> None:
        self.settings = Settings(data_dir=data_dir)
        self._before = announced(self.settings)  # by a server that was killed
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
        found = announced(self.settings)
        return None if found == self._before or "url" not in found else str(found["url"])

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(SECONDS)


def run(*arguments: str | Path, **options: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **options)
