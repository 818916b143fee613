"""Homes that cannot be written, and such with spaces in their names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import HPOSVC, SECONDS


def at_home(home: str | Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return subprocess.run(
        [HPOSVC, *arguments], env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.mark.parametrize("arguments", [("up", "--port", "0"), ("api", "--port", "0"), ("worker",), ("db", "upgrade")])
def test_a_home_that_cannot_be_written_is_said_with_the_remedy(arguments: tuple[str, ...]) -> None:
    done = at_home("/proc/nowhere", *arguments)
    assert done.returncode not in (0, -15)
    assert "Traceback" not in done.stderr
    assert "/proc/nowhere" in done.stderr
    assert "HPOSVC_DATA_DIR" in done.stderr


def test_a_home_with_spaces_in_its_name(tmp_path: Path) -> None:
    home = tmp_path / "Ann O'Hara's home ü"
    home.mkdir()
    assert at_home(home, "db", "upgrade").returncode == 0
    made = at_home(home, "keys", "create", "--name", "laptop")
    assert (made.returncode, made.stdout.strip().startswith("hposvc_")) == (0, True), made
    assert (home / ".local/share/hposvc/hposvc.sqlite3").exists()
