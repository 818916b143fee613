"""``hposvc doctor`` recognizes each fault, produced for real, and says how to mend it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.faults import Exit
from hposvc.settings import Settings
from tests.cli.conftest import HPOSVC, Server
from tests.environment import FOUND, without_settings


def examine(data_dir: Path, **variables: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit status and the findings by name, in a process of its own."""
    command = [HPOSVC, "doctor", "--json", "--data-dir", data_dir]
    run = subprocess.run(command, env=without_settings(**variables), capture_output=True, text=True, check=False)
    assert run.stdout.startswith("["), run.stderr
    return run.returncode, {finding["name"]: finding for finding in json.loads(run.stdout)}


def test_a_machine_that_is_fit(tmp_path: Path) -> None:
    migrate.upgrade(Settings(data_dir=tmp_path).database_url)
    status, findings = examine(tmp_path, HPOSVC_PORT="0")
    assert status == 0, findings
    assert findings["compiler"]["message"].startswith("g++")
    assert findings["database"]["status"] == "good"
    assert len(findings) == 10


def test_the_text_has_the_remedy_below_the_fault(tmp_path: Path) -> None:
    command = [HPOSVC, "doctor", "--data-dir", "/proc/nowhere"]
    run = subprocess.run(command, env=without_settings(HPOSVC_PORT="0"), capture_output=True, text=True, check=False)
    assert run.returncode == Exit.FAILED
    assert "✗  data directory" in run.stdout
    assert "HPOSVC_DATA_DIR" in run.stdout


def test_no_compiler(tmp_path: Path) -> None:
    status, findings = examine(tmp_path, PATH=str(tmp_path))
    assert status == Exit.FAILED
    assert findings["compiler"]["status"] == "fault"
    assert "apt install g++" in findings["compiler"]["remedy"]


def test_a_compiler_that_does_not_run(tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "g++"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    _, findings = examine(tmp_path, PATH=f"{broken.parent}:{FOUND['PATH']}")
    assert findings["compiler"]["status"] == "fault"


def test_an_nvcc_without_its_runtime_is_noted_and_stops_nothing(tmp_path: Path) -> None:
    nvcc = tmp_path / "toolkit" / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text("#!/bin/sh\n")
    nvcc.chmod(0o755)
    status, findings = examine(tmp_path, PATH=f"{nvcc.parent}:{FOUND['PATH']}", HPOSVC_PORT="0")
    assert status == 0
    assert findings["CUDA"]["status"] == "note"
    assert str(nvcc) in findings["CUDA"]["message"]


def test_a_jittor_that_was_not_prepared_is_noted(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    status, findings = examine(tmp_path, HOME=str(home), HPOSVC_PORT="0")
    assert status == 0
    assert findings["Jittor"]["status"] == "note"
    assert "hposvc warmup" in findings["Jittor"]["remedy"]


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    status, findings = examine(tmp_path, HOME="/proc/home")
    assert status == Exit.FAILED
    assert findings["Jittor"]["status"] == "fault"


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    _, findings = examine(tmp_path / "taken")
    assert findings["data directory"]["status"] == "fault"


def test_a_database_that_is_behind(tmp_path: Path) -> None:
    url = Settings(data_dir=tmp_path).database_url
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE somebody_s (id INTEGER)"))
    engine.dispose()
    _, findings = examine(tmp_path)
    assert findings["database"]["status"] == "fault"
    assert "hposvc db upgrade" in findings["database"]["message"]


@pytest.mark.parametrize("url", ["postgresql+psycopg://hposvc:hunter2@127.0.0.1:9/hposvc", "mysql://x/y"])
def test_a_database_that_does_not_answer(tmp_path: Path, url: str) -> None:
    _, findings = examine(tmp_path, HPOSVC_DATABASE_URL=url)
    assert findings["database"]["status"] == "fault"
    assert "HPOSVC_DATABASE_URL" in findings["database"]["remedy"]
    assert "hunter2" not in json.dumps(findings)


def test_a_port_that_is_taken(api: Server, tmp_path: Path) -> None:
    _, findings = examine(tmp_path, HPOSVC_PORT=api.url.rsplit(":", 1)[1])
    assert findings["port"]["status"] == "fault"
    assert "--port" in findings["port"]["remedy"]


def test_it_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "untouched"
    examine(folder)
    assert not folder.exists()
