"""``hposvc doctor`` recognizes each fault, produced for real, and says how to mend it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hposvc import cuda, doctor
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
    assert len(findings) == 12


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


def toolkit(folder: Path, *, release: str | None = "12.2", runtime: bool = True, cudnn: int | None = 8) -> str:
    """The PATH on which a CUDA toolkit like this is found first."""
    for name in ("bin", "lib64", "include"):
        (folder / name).mkdir(parents=True)
    nvcc = folder / "bin" / "nvcc"
    said = f"Cuda compilation tools, release {release}, V{release}.140"
    nvcc.write_text("#!/bin/sh\nexit 1\n" if release is None else f"#!/bin/sh\necho '{said}'\n")
    nvcc.chmod(0o755)
    if runtime:
        (folder / "lib64" / "libcudart.so.12").touch()
    if cudnn is not None:
        (folder / "include" / "cudnn_version.h").write_text(f"#define CUDNN_MAJOR {cudnn}\n")
    return f"{folder}/bin:{FOUND['PATH']}"


CUDA_FAULTS = [
    ({"release": None}, "does not run"),
    ({"release": "13.0"}, "is of CUDA 13.0"),
    ({"runtime": False}, "has no CUDA runtime"),
    ({"cudnn": 9}, "cuDNN 9"),
]


@pytest.mark.parametrize(("changes", "message"), CUDA_FAULTS, ids=[message for _, message in CUDA_FAULTS])
def test_a_toolkit_that_jittor_cannot_use_is_noted_on_the_cpu_and_a_fault_for_cuda(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = toolkit(tmp_path / "toolkit", **changes)
    status, findings = examine(tmp_path, PATH=path, HPOSVC_PORT="0")
    assert status == 0
    assert findings["CUDA"]["status"] == "note"
    assert message in findings["CUDA"]["message"]
    status, findings = examine(tmp_path, PATH=path, HPOSVC_PORT="0", HPOSVC_DEVICE="cuda")
    assert status == Exit.FAILED
    assert findings["CUDA"]["status"] == "fault"
    assert message in findings["CUDA"]["message"]
    assert "CUDA 12.2" in findings["CUDA"]["remedy"]


def test_a_good_toolkit_on_the_cpu(tmp_path: Path) -> None:
    _, findings = examine(tmp_path, PATH=toolkit(tmp_path / "toolkit"), HPOSVC_PORT="0")
    assert findings["CUDA"]["status"] == "good"


@pytest.mark.skipif(cuda.driver_obstacle() is None, reason="a GPU is here, and this is about machines without one")
def test_a_machine_without_a_gpu_cannot_be_a_cuda_worker(tmp_path: Path) -> None:
    path = toolkit(tmp_path / "toolkit")
    _, findings = examine(tmp_path, PATH=path, HPOSVC_PORT="0", HPOSVC_DEVICE="cuda")
    assert findings["CUDA"]["status"] == "fault"
    assert "driver" in findings["CUDA"]["message"]
    assert "HPOSVC_DEVICE=cpu" in findings["CUDA"]["remedy"]
    command = [HPOSVC, "warmup"]
    variables = without_settings(HPOSVC_DEVICE="cuda", PATH=path, HPOSVC_DATA_DIR=str(tmp_path))
    run = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "CUDA cannot be used: the NVIDIA driver" in run.stdout + run.stderr


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


def test_no_headers_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    finding = doctor.python_headers()
    assert finding.status == "fault"
    assert str(tmp_path / "Python.h") in finding.message
    assert "-dev" in finding.remedy


def test_a_network_file_system_below_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own list of mounts, with one more line."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"{Path('/proc/mounts').read_text()}server:/export {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(doctor, "MOUNTS", mounts)
    settings = Settings(data_dir=tmp_path / "data", database_url=f"sqlite:///{tmp_path}/data/x.sqlite3")
    finding = doctor.database(settings)
    assert finding.status == "fault"
    assert "network file system (nfs4)" in finding.message
    assert "PostgreSQL" in finding.remedy
    elsewhere = doctor.database(settings.model_copy(update={"database_url": "sqlite:////dev/shm/none/x.sqlite3"}))
    assert elsewhere.status == "note"


def test_migrations_that_are_behind(tmp_path: Path) -> None:
    url = Settings(data_dir=tmp_path).database_url
    migrate.upgrade(url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '0001'"))
    engine.dispose()
    _, findings = examine(tmp_path)
    assert findings["database"]["status"] == "fault"
    assert "is at revision 0001, behind" in findings["database"]["message"]
    assert "hposvc db upgrade" in findings["database"]["message"]
    assert "hposvc db backup" in findings["database"]["remedy"]


@pytest.mark.parametrize(("seconds", "status"), [(-600, "fault"), (10, "note"), (0, "good")])
def test_clocks_that_are_apart(tmp_path: Path, seconds: int, status: str) -> None:
    """A process whose clock is off: Python is told another time before the command starts."""
    migrate.upgrade(Settings(data_dir=tmp_path).database_url)
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\n_now = time.time\ntime.time = lambda: _now() + {seconds}\n"
    )
    path = os.pathsep.join([str(tmp_path), FOUND.get("PYTHONPATH", "")])
    _, findings = examine(tmp_path, HPOSVC_PORT="0", PYTHONPATH=path)
    assert findings["clock"]["status"] == status
    if seconds:
        assert f"{abs(seconds)}." in findings["clock"]["message"]
        assert ("behind" if seconds < 0 else "ahead of") in findings["clock"]["message"]
        assert "chrony" in findings["clock"]["remedy"]


def test_a_store_whose_package_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['obstore.fsspec'] = None\n")
    path = os.pathsep.join([str(tmp_path), FOUND.get("PYTHONPATH", "")])
    _, findings = examine(tmp_path, PYTHONPATH=path, HPOSVC_STORE_URL="s3://bucket/jobs?secret=hunter2")
    assert findings["store"]["status"] == "fault"
    assert findings["store"]["remedy"] == "pip install 'hposvc[s3]'"
    assert "hunter2" not in json.dumps(findings)


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    _, findings = examine(tmp_path, HPOSVC_STORE_URL="file:///proc/nowhere")
    assert findings["store"]["status"] == "fault"
    assert "HPOSVC_STORE_URL" in findings["store"]["remedy"]
