"""What the service writes is for the user that runs it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hposvc.db import migrate
from hposvc.files.private import private_folder
from hposvc.operate.serve import _keep_to_ourselves
from hposvc.settings import Settings

NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into, in one that everybody may enter; new files are for everybody."""
    outer = Path(tempfile.mkdtemp())
    outer.chmod(0o755)
    folder = outer / "data"
    folder.mkdir()
    folder.chmod(0o777)
    before = os.umask(0)
    yield folder
    os.umask(before)
    shutil.rmtree(outer)


def test_another_user_reads_nothing_whatever_was_set_before(open_folder: Path) -> None:
    url = f"sqlite:///{open_folder / 'hposvc.sqlite3'}"
    migrate.upgrade(url)
    assert {file.stat().st_mode & 0o077 for file in open_folder.iterdir()} == {0}  # while the folder is still open
    settings = Settings(data_dir=open_folder, database_url=url)
    _keep_to_ourselves(settings)
    assert open_folder.stat().st_mode & 0o777 == 0o700
    (open_folder / "later").write_text("x")
    assert (open_folder / "later").stat().st_mode & 0o077 == 0
    if os.geteuid() == 0:
        for command in (["ls", str(open_folder)], ["cat", str(open_folder / "hposvc.sqlite3")]):
            done = subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False)
            assert done.returncode != 0
            assert b"ermission" in done.stderr


def test_a_database_that_others_could_read_is_closed_to_them(open_folder: Path) -> None:
    file = open_folder / "hposvc.sqlite3"
    file.touch(0o666)
    file.chmod(0o666)
    migrate.upgrade(f"sqlite:///{file}")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_is_made_for_its_owner(tmp_path: Path) -> None:
    os.umask(0o022)
    private_folder(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
