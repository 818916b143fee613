"""``hposvc doctor`` recognizes each fault, produced for real, and says how to mend it."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.faults import Exit
from hposvc.machine.causes import Cause
from hposvc.machine.cuda import LIBRARIES
from hposvc.operate import doctor
from hposvc.operate.doctor import folders
from hposvc.operate.doctor.findings import good
from hposvc.settings import Settings
from tests.support.commands import HPOSVC, ServerProcess
from tests.support.environment import FOUND, without_settings
from tests.support.moto import moto

Findings = dict[str, dict[str, Any]]
UNREACHABLE = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}


def command(data_dir: Path, **variables: str) -> tuple[int, Findings]:
    """The exit status and the findings by name, in a process of its own."""
    arguments = [HPOSVC, "doctor", "--json", "--data-dir", data_dir]
    run = subprocess.run(arguments, env=without_settings(**variables), capture_output=True, text=True, check=False)
    assert run.stdout.startswith("["), run.stderr
    return run.returncode, {finding["name"]: finding for finding in json.loads(run.stdout)}


@dataclass(frozen=True)
class Machine:
    """A machine on which one thing will be wrong."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def look(self, **variables: str) -> Findings:
        """The findings by name, in this process with other variables."""
        own = {"HPOSVC_DATA_DIR": str(self.folder / "data"), "HPOSVC_PORT": "0"}
        with mock.patch.dict(os.environ, without_settings(**own | variables), clear=True):
            return {finding.name: asdict(finding) for finding in doctor.examine(Settings())}

    def command(self, **variables: str) -> Findings:
        """The same in a process of its own, for what is decided before a process starts."""
        return command(self.folder / "data", **{"HPOSVC_PORT": "0"} | variables)[1]

    def without_files(self, *ends: str) -> Findings:
        """As if no file whose path ends like this were there."""
        stat = os.stat

        def hiding(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
            if isinstance(path, (str, os.PathLike)) and os.fspath(path).endswith(ends):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return stat(path, *arguments, **options)

        self.monkeypatch.setattr(os, "stat", hiding)
        return self.look()

    def startup(self, code: str) -> dict[str, str]:
        """The variables with which a Python process runs ``code`` before everything else."""
        (self.folder / "sitecustomize.py").write_text(code)
        return {"PYTHONPATH": os.pathsep.join([str(self.folder), FOUND.get("PYTHONPATH", "")])}

    def database(self) -> sa.Engine:
        """A database at this version, to be spoilt."""
        migrate.upgrade(self.settings.database_url)
        return sa.create_engine(self.settings.database_url)

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=self.folder / "data")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


# each fault


@dataclass(frozen=True)
class Fault:
    """How a fault is produced, where it shows, and what is said of it."""

    produce: Callable[[Machine], Findings]
    name: str
    status: str
    message: str
    remedy: str


FAULTS: dict[Cause, Fault] = {}
Produce = Callable[[Machine], Findings]


def produces(
    cause: Cause, name: str, *, message: str, remedy: str, status: str = "fault"
) -> Callable[[Produce], Produce]:
    def keep(produce: Produce) -> Produce:
        assert cause not in FAULTS
        FAULTS[cause] = Fault(produce, name, status, message, remedy)
        return produce

    return keep


@produces(Cause.PYTHON_UNSUPPORTED, "Python", message="3.13.1", remedy="3.11 or 3.12")
def python(machine: Machine) -> Findings:
    machine.monkeypatch.setattr("sys.version_info", (3, 13, 1, "final", 0))
    return {"Python": asdict(doctor.machine.python_version())}


@produces(Cause.WORKER_NOT_INSTALLED, "Jittor", status="note", message="not installed", remedy="pip install hposvc")
def image_of_the_api(machine: Machine) -> Findings:
    """As in the API's image, where neither Jittor nor a compiler is: that is no fault."""
    machine.monkeypatch.setitem(sys.modules, "jittor", None)
    findings = machine.look(PATH=str(machine.folder))
    assert not findings.keys() & {"compiler", "oneDNN", "CUDA", "Python's headers", "python-config"}
    assert all(finding["status"] != "fault" for finding in findings.values())
    return findings


@produces(Cause.COMPILER_MISSING, "compiler", message="not on PATH", remedy="apt install g++")
def no_compiler(machine: Machine) -> Findings:
    return machine.look(PATH=str(machine.folder))


@produces(Cause.COMPILER_BROKEN, "compiler", message="does not run", remedy="--reinstall g++")
def broken_compiler(machine: Machine) -> Findings:
    program(machine.folder / "bin" / "g++", "exit 1")
    return machine.look(PATH=f"{machine.folder}/bin:{FOUND['PATH']}")


@produces(Cause.HEADERS_MISSING, "Python's headers", message="Python.h is missing", remedy="-dev")
def no_headers(machine: Machine) -> Findings:
    return machine.without_files("/Python.h")


@produces(Cause.PYTHON_CONFIG_MISSING, "python-config", message="nowhere that Jittor looks", remedy="-dev")
def no_python_config(machine: Machine) -> Findings:
    return machine.without_files("-config")


@produces(Cause.ONEDNN_MISSING, "oneDNN", message="libmkldnn.so", remedy="pip install onednn-cpu-gomp==2021.2.0")
def no_onednn(machine: Machine) -> Findings:
    return machine.without_files("/libmkldnn.so")


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def toolkit(
    folder: Path, *, release: str | None = "13.0", runtime: bool = True, libraries: bool = True, compiles: bool = True
) -> str:
    """The PATH on which a CUDA toolkit like this is found first."""
    said = f"echo 'Cuda compilation tools, release {release}, V{release}.140'"
    wrong = "" if compiles else "case $* in *look.cu*) echo 'error: no such header' >&2; exit 2;; esac\n"
    program(folder / "bin" / "nvcc", "exit 1" if release is None else wrong + said)
    for name in ("lib64", "include"):
        (folder / name).mkdir()
    for name, header in LIBRARIES.items():
        if runtime if name == "cudart" else libraries:
            (folder / "lib64" / f"lib{name}.so.13").touch()
        (folder / "include" / header).touch()
    return f"{folder}/bin:{FOUND['PATH']}"


def on_cuda(machine: Machine, **toolkit_: Any) -> Findings:
    return machine.look(PATH=toolkit(machine.folder / "toolkit", **toolkit_), HPOSVC_DEVICE="cuda")


@produces(Cause.NVCC_MISSING, "CUDA", message="no CUDA compiler", remedy="hposvc[cuda]")
def no_nvcc(machine: Machine) -> Findings:
    program(machine.folder / "bin" / "g++", "exit 1")
    return machine.look(PATH=f"{machine.folder}/bin", HPOSVC_DEVICE="cuda")


@produces(Cause.NVCC_BROKEN, "CUDA", message="does not run", remedy="hposvc[cuda]")
def broken_nvcc(machine: Machine) -> Findings:
    return on_cuda(machine, release=None)


@produces(Cause.CUDA_TOO_NEW, "CUDA", message="is of CUDA 14.0", remedy="CUDA 12 or 13")
def new_cuda(machine: Machine) -> Findings:
    return on_cuda(machine, release="14.0")


@produces(Cause.CUDA_RUNTIME_MISSING, "CUDA", message="has no CUDA runtime", remedy="hposvc[cuda]")
def no_runtime(machine: Machine) -> Findings:
    return on_cuda(machine, runtime=False)


@produces(Cause.CUDA_LIBRARIES_MISSING, "CUDA", message="lie libcublas, libcublasLt, libcurand", remedy="hposvc[cuda]")
def no_libraries(machine: Machine) -> Findings:
    return on_cuda(machine, libraries=False)


@produces(
    Cause.CUDA_DOES_NOT_COMPILE, "CUDA", message="does not compile for Jittor: error: no such", remedy="nvcc_path"
)
def useless_nvcc(machine: Machine) -> Findings:
    return on_cuda(machine, compiles=False)


def with_driver(machine: Machine, *, gpus: int = 1, version: int = 13000) -> Findings:
    """A library in place of the driver's, which the loader finds first."""
    source = machine.folder / "driver.c"
    source.write_text(
        "int cuInit(unsigned flags) { return 0; }\n"
        f"int cuDeviceGetCount(int *count) {{ *count = {gpus}; return 0; }}\n"
        f"int cuDriverGetVersion(int *version) {{ *version = {version}; return 0; }}\n"
    )
    library = machine.folder / "libcuda.so.1"
    subprocess.run(["g++", "-x", "c", "-shared", "-fPIC", "-o", library, source], check=True)
    path = toolkit(machine.folder / "toolkit")
    return machine.command(PATH=path, HPOSVC_DEVICE="cuda", LD_LIBRARY_PATH=str(machine.folder))


@produces(Cause.GPU_DRIVER_MISSING, "CUDA", message="the NVIDIA driver (libcuda", remedy="HPOSVC_DEVICE=cpu")
def no_driver(machine: Machine) -> Findings:
    (machine.folder / "libcuda.so.1").write_text("not a library")  # found first, also where there is a driver
    path = toolkit(machine.folder / "toolkit")
    return machine.command(PATH=path, HPOSVC_DEVICE="cuda", LD_LIBRARY_PATH=str(machine.folder))


@produces(Cause.GPU_MISSING, "CUDA", message="sees no GPU", remedy="nvidia-smi")
def no_gpu(machine: Machine) -> Findings:
    return with_driver(machine, gpus=0)


@produces(Cause.GPU_DRIVER_TOO_OLD, "CUDA", message="programs of CUDA 12 and older", remedy="newer driver")
def old_driver(machine: Machine) -> Findings:
    return with_driver(machine, version=12080)


@produces(Cause.CACHE_UNWRITABLE, "Jittor", message="/proc/home/.cache/jittor cannot be written", remedy="set HOME")
def unwritable_home(machine: Machine) -> Findings:
    return machine.look(HOME="/proc/home")


@produces(Cause.JITTOR_NOT_COMPILED, "Jittor", status="note", message="not compiled", remedy="hposvc warmup")
def fresh_home(machine: Machine) -> Findings:
    (machine.folder / "home").mkdir()
    return machine.look(HOME=str(machine.folder / "home"))


@produces(Cause.DATA_DIRECTORY_UNWRITABLE, "data directory", message="cannot be written", remedy="HPOSVC_DATA_DIR")
def file_for_a_directory(machine: Machine) -> Findings:
    (machine.folder / "data").write_text("")
    return machine.look()


@produces(Cause.DATABASE_URL_INVALID, "database", message="mysql is not supported", remedy="HPOSVC_DATABASE_URL")
def other_database(machine: Machine) -> Findings:
    return machine.look(HPOSVC_DATABASE_URL="mysql://x/y")


@produces(Cause.DATABASE_ON_NETWORK_FILE_SYSTEM, "database", message="(nfs4)", remedy="PostgreSQL")
def network_file_system(machine: Machine) -> Findings:
    """The kernel's own list of mounts, with one more line."""
    mounts = machine.folder / "mounts"
    mounts.write_text(f"{folders.MOUNTS.read_text()}server:/export {machine.folder} nfs4 rw 0 0\n")
    machine.monkeypatch.setattr(folders, "MOUNTS", mounts)
    elsewhere = machine.look(HPOSVC_DATABASE_URL="sqlite:////dev/shm/none/x.sqlite3")["database"]
    assert elsewhere["cause"] == Cause.DATABASE_ABSENT
    return machine.look()


@produces(Cause.DATABASE_ABSENT, "database", status="note", message="not there yet", remedy="hposvc db upgrade")
def no_database(machine: Machine) -> Findings:
    return machine.look()


@produces(Cause.DATABASE_BEHIND, "database", message="is at revision 0001, behind", remedy="hposvc db backup")
def earlier_database(machine: Machine) -> Findings:
    spoil(machine, f"UPDATE {migrate.VERSION_TABLE} SET version_num = '0001'")
    return machine.look()


@produces(Cause.DATABASE_NEWER, "database", message="revision 9999", remedy="Install the version")
def later_database(machine: Machine) -> Findings:
    spoil(machine, f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'")
    return machine.look()


@produces(Cause.DATABASE_CHANGED, "database", message="add_column", remedy="hposvc db restore")
def changed_database(machine: Machine) -> Findings:
    spoil(machine, "ALTER TABLE jobs DROP COLUMN error")
    return machine.look()


def spoil(machine: Machine, statement: str) -> None:
    engine = machine.database()
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


NOBODY = "postgresql+psycopg://hposvc:hunter2@127.0.0.1:9/hposvc"


@produces(Cause.DATABASE_UNREACHABLE, "database", message="does not answer", remedy="HPOSVC_DATABASE_URL")
def no_server(machine: Machine) -> Findings:
    return machine.look(HPOSVC_DATABASE_URL=NOBODY)


@produces(Cause.CLOCK_UNKNOWN, "clock", status="note", message="did not tell its time", remedy="look again")
def database_gone_meanwhile(machine: Machine) -> Findings:
    return {"clock": asdict(doctor.service.clocks(Settings(data_dir=machine.folder, database_url=NOBODY)))}


def clock_off_by(seconds: int, machine: Machine) -> Findings:
    """A process whose clock is off: Python is told another time before the command starts."""
    machine.database().dispose()
    start = machine.startup(f"import time\n_now = time.time\ntime.time = lambda: _now() + {seconds}\n")
    return machine.command(**start)


@produces(Cause.CLOCKS_APART, "clock", message="600.0 s behind", remedy="chrony")
def slow_clock(machine: Machine) -> Findings:
    return clock_off_by(-600, machine)


@produces(Cause.STORE_PACKAGE_MISSING, "store", message="needs a package", remedy="pip install 'hposvc[s3]'")
def no_obstore(machine: Machine) -> Findings:
    start = machine.startup("import sys\nsys.modules['obstore'] = None\n")
    return machine.command(**start, HPOSVC_STORE_URL="s3://bucket/jobs?secret=hunter2")


@produces(Cause.STORE_CREDENTIALS_INVALID, "store", message="no aws_secret_access_key", remedy="AWS_ACCESS_KEY_ID")
def half_a_key(machine: Machine) -> Findings:
    file = machine.folder / "credentials"
    file.write_text("[default]\naws_access_key_id = hunter2\n")
    return machine.look(HPOSVC_STORE_URL="s3://bucket", AWS_SHARED_CREDENTIALS_FILE=str(file))


@produces(Cause.STORE_UNREACHABLE, "store", message="does not answer", remedy="AWS_ENDPOINT_URL")
def no_store(machine: Machine) -> Findings:
    return machine.look(HPOSVC_STORE_URL="s3://nobody/jobs", **UNREACHABLE)


@produces(Cause.STORE_UNWRITABLE, "store", message="cannot be written", remedy="HPOSVC_STORE_URL")
def unwritable_store(machine: Machine) -> Findings:
    return machine.look(HPOSVC_STORE_URL="file:///proc/nowhere")


@produces(Cause.BUCKET_MISSING, "store", message="there is no bucket elsewhere", remedy="Make the bucket")
def no_bucket(machine: Machine) -> Findings:
    with moto(machine.folder) as server:
        for url in (f"s3://{server.bucket}", f"s3://{server.bucket}/nothing/there/yet"):
            there = machine.look(HPOSVC_STORE_URL=url, **server.variables)["store"]
            assert there["status"] == "good", there
        return machine.look(HPOSVC_STORE_URL="s3://elsewhere/jobs", **server.variables)


@produces(Cause.PORT_TAKEN, "port", message="Address already in use", remedy="--port")
def taken_port(machine: Machine) -> Findings:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return machine.look(HPOSVC_PORT=str(taken.getsockname()[1]))


@produces(Cause.PORT_REFUSED, "port", message="192.0.2.1", remedy="HPOSVC_HOST")
def another_s_address(machine: Machine) -> Findings:
    return machine.look(HPOSVC_HOST="192.0.2.1")


@produces(Cause.EXAMINATION_FAILED, "database", message="FileNotFoundError", remedy="Report it")
def no_proc(machine: Machine) -> Findings:
    machine.monkeypatch.setattr(folders, "MOUNTS", machine.folder / "nowhere")
    findings = machine.look()
    assert findings["store"]["status"] == "good"  # the others are looked at all the same
    return findings


@pytest.mark.parametrize("cause", list(Cause))
def test_each_fault_is_produced_and_recognized(machine: Machine, cause: Cause) -> None:
    assert cause in FAULTS, "doctor can report a fault that no test produces"
    fault = FAULTS[cause]
    findings = fault.produce(machine)
    finding = findings[fault.name]
    assert (finding["cause"], finding["status"]) == (cause, fault.status), finding
    assert fault.message in finding["message"]
    assert fault.remedy in finding["remedy"]
    assert "hunter2" not in json.dumps(findings)


# the rest


def test_a_machine_that_is_fit(tmp_path: Path) -> None:
    migrate.upgrade(Settings(data_dir=tmp_path).database_url)
    status, findings = command(tmp_path, HPOSVC_PORT="0")
    assert status == 0, findings
    assert findings["compiler"]["message"].startswith("g++")
    assert findings["database"]["status"] == "good"
    assert findings["database"]["cause"] is None
    assert len(findings) == 12


def test_the_text_has_the_remedy_below_the_fault_and_ends_with_what_is_to_mend() -> None:
    arguments = [HPOSVC, "doctor", "--data-dir", "/proc/nowhere"]
    run = subprocess.run(arguments, env=without_settings(HPOSVC_PORT="0"), capture_output=True, text=True, check=False)
    assert run.returncode == Exit.FAILED
    assert "✗  data directory" in run.stdout
    assert "HPOSVC_DATA_DIR" in run.stdout
    assert "2 to mend before the service runs here: data directory, store." in run.stdout


CUDA_FAULTS: list[tuple[dict[str, Any], Cause]] = [
    ({"release": None}, Cause.NVCC_BROKEN),
    ({"release": "14.0"}, Cause.CUDA_TOO_NEW),
    ({"runtime": False}, Cause.CUDA_RUNTIME_MISSING),
    ({"libraries": False}, Cause.CUDA_LIBRARIES_MISSING),
]


@pytest.mark.parametrize(("changes", "cause"), CUDA_FAULTS, ids=[str(cause) for _, cause in CUDA_FAULTS])
def test_a_toolkit_that_jittor_cannot_use_stops_no_worker_on_the_cpu(
    machine: Machine, changes: dict[str, Any], cause: Cause
) -> None:
    finding = machine.look(PATH=toolkit(machine.folder / "toolkit", **changes))["CUDA"]
    assert (finding["status"], finding["cause"]) == ("note", cause)


def test_a_good_toolkit_on_the_cpu(machine: Machine) -> None:
    assert machine.look(PATH=toolkit(machine.folder / "toolkit"))["CUDA"]["status"] == "good"


def test_a_toolkit_with_a_driver_and_a_gpu(machine: Machine) -> None:
    finding = with_driver(machine)["CUDA"]
    assert finding["status"] == "good", finding


def test_kernels_of_another_home_are_found(machine: Machine) -> None:
    (machine.folder / "home").mkdir()
    compiled_for = os.environ.get("JITTOR_HOME", str(Path.home()))
    finding = machine.look(HOME=str(machine.folder / "home"), JITTOR_HOME=compiled_for)["Jittor"]
    assert (finding["status"], finding["message"]) == ("good", f"compiled, in {compiled_for}/.cache/jittor")


def test_jittor_needs_a_home_to_write_even_where_its_kernels_are_elsewhere(machine: Machine) -> None:
    finding = machine.look(HOME="/proc/home", JITTOR_HOME=str(machine.folder))["Jittor"]
    assert (finding["status"], finding["message"]) == ("fault", "/proc/home/.cache/jittor cannot be written")


def test_warming_up_says_what_doctor_says(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_text("not a library")
    path = toolkit(tmp_path / "toolkit")
    variables = without_settings(
        HPOSVC_DEVICE="cuda", PATH=path, HPOSVC_DATA_DIR=str(tmp_path), LD_LIBRARY_PATH=str(tmp_path)
    )
    run = subprocess.run([HPOSVC, "warmup"], env=variables, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "CUDA cannot be used: the NVIDIA driver" in run.stdout + run.stderr


@pytest.mark.parametrize("arguments", [["worker"], ["worker", "--gpus", "all"], ["warmup"]], ids=" ".join)
def test_without_jittor_what_needs_it_says_so(machine: Machine, arguments: list[str]) -> None:
    variables = without_settings(
        **machine.startup("import sys\nsys.modules['jittor'] = None\n"), HPOSVC_DATA_DIR=str(machine.folder)
    )
    run = subprocess.run([HPOSVC, *arguments], env=variables, capture_output=True, text=True, check=False)
    assert run.returncode == Exit.ENVIRONMENT
    assert "this installation has no Jittor" in run.stderr
    assert "pip install hposvc" in run.stderr


def test_a_database_without_tables(machine: Machine) -> None:
    (machine.folder / "data").mkdir()
    engine = sa.create_engine(machine.settings.database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE somebody_s (id INTEGER)"))
    engine.dispose()
    finding = machine.look()["database"]
    assert finding["cause"] == Cause.DATABASE_BEHIND
    assert "hposvc db upgrade" in finding["message"]


@pytest.mark.parametrize(("seconds", "status"), [(10, "note"), (0, "good")])
def test_clocks_that_are_a_little_apart(machine: Machine, seconds: int, status: str) -> None:
    finding = clock_off_by(seconds, machine)["clock"]
    assert finding["status"] == status
    assert not seconds or f"{seconds}.0 s ahead of" in finding["message"]


def test_headers_of_onednn_that_are_missing(machine: Machine) -> None:
    finding = machine.without_files("/dnnl.hpp")["oneDNN"]
    assert finding["cause"] == Cause.ONEDNN_MISSING
    assert "libmkldnn" not in finding["message"]


def test_a_server_that_runs_is_no_fault(api: ServerProcess) -> None:
    settings = api.settings.model_copy(update={"port": int(api.url.rsplit(":", 1)[1])})
    assert doctor.service.port(settings) == good("port", f"a server runs at {api.url}")
    settings.server_file.replace(moved := settings.server_file.with_suffix(".moved"))
    try:
        assert doctor.service.port(settings).cause == Cause.PORT_TAKEN
    finally:
        moved.replace(settings.server_file)


def test_an_address_that_was_left_behind_is_not_believed(machine: Machine) -> None:
    settings = machine.settings.model_copy(update={"port": 0})
    settings.data_dir.mkdir()
    settings.server_file.write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": 1}))
    assert doctor.service.port(settings) == good("port", "a free one is taken at start")


def test_it_changes_nothing(machine: Machine) -> None:
    machine.look()
    assert not (machine.folder / "data").exists()
