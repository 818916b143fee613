"""CUDA on a stand-in: the solver against the CPU, a worker from a job over HTTP to its result, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hposvc.client import Client
from hposvc.schema.job import JobResource
from hposvc.schema.states import TERMINAL
from tests.support import stand_in
from tests.support.commands import HPOSVC, ServerProcess, until
from tests.support.compared import Compared, check, compare
from tests.support.cuda_kernels import compile_kernels
from tests.support.environment import without_settings

pytestmark = pytest.mark.cuda

PATIENCE = 300  # seconds: a job may compile kernels
ROOM = 10_000_000  # bytes: enough to start, and less than a matrix of 4096 × 4096
SPEC = {
    "kind": "data_reweighting",
    "dataset": {"id": "sklearn:wine"},
    "hyperparameters": {"per": "row"},
    "resources": {"device": "cuda"},
    "stop": {"iterations": 20},
}


@pytest.fixture(scope="module")
def compared() -> dict[str, Compared]:
    """What each case found, by its name."""
    return compare()


def test_every_case_is_as_near_to_float64_on_cuda_as_on_the_cpu(compared: dict[str, Compared]) -> None:
    assert len(compared) >= 20
    check(compared)


def ended(client: Client, spec: dict[str, Any]) -> JobResource:
    """The job of this specification, after its end."""
    submitted = client.submit(spec).id
    until(lambda: client.job(submitted).state in TERMINAL, "the end of the job", PATIENCE)
    return client.job(submitted)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    # the kernels of the usual jobs
    subprocess.run([HPOSVC, "warmup"], env=stand_in.variables(), check=True, capture_output=True)
    server = ServerProcess("up", tmp_path_factory.mktemp("up") / "data", **stand_in.own())
    yield server
    server.stop()


def test_a_worker_takes_a_job_over_http_to_its_result(server: ServerProcess) -> None:
    with Client(server.url) as client:
        job = ended(client, SPEC)
        assert job.state == "succeeded", (job.error, server.log.read_text())
        on_cpu = ended(client, SPEC | {"resources": {"device": "cpu"}})
        assert on_cpu.state == "succeeded"
        assert {worker.device for worker in client.workers()} == {"cuda"}
        losses = [client.iterations(each.id).upper_loss for each in (job, on_cpu)]
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-5)
    assert losses[0] != losses[1]  # it was not the CPU both times


def test_float64_is_computed_on_the_cpu_and_refused_together_with_cuda(server: ServerProcess) -> None:
    exact = SPEC | {"solver": {"dtype": "float64"}}
    with Client(server.url) as client:
        with pytest.raises(Exception, match="float64 is computed on the CPU only"):
            client.submit(exact)
        job = ended(client, exact | {"resources": {"device": "auto"}})
        assert job.state == "succeeded", (job.error, server.log.read_text())


def test_no_room_on_the_gpu_is_out_of_memory(tmp_path: Path) -> None:
    small = ServerProcess("up", tmp_path / "data", **stand_in.own(CUDA_STAND_IN_MEMORY=str(ROOM)))
    try:
        with Client(small.url) as client:
            job = ended(client, SPEC | {"model": {"type": "mlp", "hidden": [4096, 4096]}})
            assert job.error is not None
            assert job.error.reason == "out_of_memory", job.error
            assert "the GPU has no room" in job.error.message
    finally:
        small.stop()


def test_two_gpus_have_a_worker_each(tmp_path: Path) -> None:
    variables = stand_in.own(CUDA_STAND_IN_DEVICES="2", HPOSVC_DATA_DIR=str(tmp_path / "data"))
    subprocess.run([HPOSVC, "db", "upgrade"], env=without_settings(**variables), check=True, capture_output=True)
    api = ServerProcess("api", tmp_path / "data", **variables)
    workers = subprocess.Popen([HPOSVC, "worker", "--gpus", "all"], env=without_settings(**variables))
    try:
        with Client(api.url) as client:
            until(lambda: [worker.device for worker in client.workers()] == ["cuda", "cuda"], "two workers")
            assert [ended(client, SPEC).state for _ in range(2)] == ["succeeded", "succeeded"]
    finally:
        workers.terminate()
        assert workers.wait(PATIENCE) == 0
        api.stop()


def test_a_gpu_that_is_full_before_the_start_is_said() -> None:
    command = [sys.executable, "-c", "from hposvc.bilevel import runtime; runtime.start('cuda')"]
    variables = stand_in.variables(CUDA_STAND_IN_MEMORY="100000")
    run = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "The GPU has no room" in run.stderr.splitlines()[-1]  # what a worker's log shows of a runner


@pytest.mark.parametrize(("devices", "said"), [("0", "the NVIDIA driver sees no GPU")])
def test_a_worker_without_a_gpu_says_so(tmp_path: Path, devices: str, said: str) -> None:
    variables = stand_in.variables(CUDA_STAND_IN_DEVICES=devices, HPOSVC_DATA_DIR=str(tmp_path))
    subprocess.run([HPOSVC, "db", "upgrade"], env=variables, check=True, capture_output=True)
    for command in (["worker", "--gpus", "all"], ["doctor"]):
        run = subprocess.run([HPOSVC, *command], env=variables, capture_output=True, text=True, check=False)
        assert run.returncode != 0
        assert said in " ".join((run.stdout + run.stderr).split()), run.stdout + run.stderr


def test_the_real_compiler_takes_every_kernel(compared: dict[str, Compared]) -> None:
    done = compile_kernels(stand_in.FOLDER / "home")
    print(f"{done.compiled} kernels compiled for sm_80 and sm_90, {len(done.failures)} failures")
    assert not done.failures
    assert done.compiled > 100
