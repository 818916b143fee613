"""CUDA on a stand-in: the solver against the CPU, a worker from a job over HTTP to its result, and what goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hposvc.client import Client
from tests.support import stand_in
from tests.support.commands import HPOSVC, ServerProcess
from tests.support.cuda_kernels import compile_kernels

pytestmark = pytest.mark.cuda

# float32 rounds to 6e-8; a hypergradient sums over rows and takes differences.
EXACT, DIFFERENCES = 1e-5, 3e-3
SPEC = {
    "kind": "data_reweighting",
    "dataset": {"id": "sklearn:wine"},
    "hyperparameters": {"per": "row"},
    "resources": {"device": "cuda"},
    "stop": {"iterations": 20},
}


@pytest.fixture(scope="module")
def compared() -> dict[str, dict[str, Any]]:
    """What each case found, by its name."""
    command = [sys.executable, "-m", "tests.support.cuda_cases"]
    run = subprocess.run(command, env=stand_in.variables(), stdout=subprocess.PIPE, text=True, check=True)
    found = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    gaps = sorted(found, key=lambda case: case.get("cuda", 0.0))
    print(f"{len(found)} cases; errors of CUDA from {gaps[0].get('cuda', 0):.1e} to {gaps[-1].get('cuda', 0):.1e}")
    return {case["name"]: case for case in found}


def test_every_case_is_as_near_to_float64_on_cuda_as_on_the_cpu(compared: dict[str, dict[str, Any]]) -> None:
    failed = {name: case["failed"] for name, case in compared.items() if "failed" in case}
    assert not failed
    assert len(compared) >= 20
    for name, case in compared.items():
        print(f"{name}: CPU {case['cpu']:.1e}, CUDA {case['cuda']:.1e}, {case['launches']} launches")
        assert case["cuda"] < max(10 * case["cpu"], EXACT), name
        assert case["cuda"] < DIFFERENCES, name
        assert case["cuda_values"] < max(10 * case["cpu_values"], EXACT), name
        assert case["launches"] > 0, name


def test_a_state_goes_from_the_cpu_to_cuda_and_back(compared: dict[str, dict[str, Any]]) -> None:
    for name, case in compared.items():
        assert case["back"] < max(20 * case["cpu"], EXACT), name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    # the kernels of the usual jobs
    subprocess.run([HPOSVC, "warmup"], env=stand_in.variables(), check=True, capture_output=True)
    server = ServerProcess("up", tmp_path_factory.mktemp("up") / "data", **stand_in.own())
    yield server
    server.stop()


def test_a_worker_takes_a_job_over_http_to_its_result(server: ServerProcess) -> None:
    with Client(server.url) as client:
        job = client.wait(client.submit(SPEC).id)
        assert job.state == "succeeded", (job.error, server.log.read_text())
        on_cpu = client.wait(client.submit(SPEC | {"resources": {"device": "cpu"}}).id)
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
        job = client.wait(client.submit(exact | {"resources": {"device": "auto"}}).id)
        assert job.state == "succeeded", (job.error, server.log.read_text())


def test_no_room_on_the_gpu_is_out_of_memory(tmp_path: Path) -> None:
    small = ServerProcess("up", tmp_path / "data", **stand_in.own(CUDA_STAND_IN_MEMORY="100000"))
    try:
        with Client(small.url) as client:
            job = client.wait(client.submit(SPEC).id)
            assert job.error is not None
            assert job.error.reason == "out_of_memory", job.error
            assert "the GPU has no room" in job.error.message
    finally:
        small.stop()


@pytest.mark.parametrize(("devices", "said"), [("0", "the NVIDIA driver sees no GPU")])
def test_a_worker_without_a_gpu_says_so(tmp_path: Path, devices: str, said: str) -> None:
    variables = stand_in.variables(CUDA_STAND_IN_DEVICES=devices, HPOSVC_DATA_DIR=str(tmp_path))
    subprocess.run([HPOSVC, "db", "upgrade"], env=variables, check=True, capture_output=True)
    for command in (["worker", "--gpus", "all"], ["doctor"]):
        run = subprocess.run([HPOSVC, *command], env=variables, capture_output=True, text=True, check=False)
        assert run.returncode != 0
        assert said in " ".join((run.stdout + run.stderr).split()), run.stdout + run.stderr


def test_the_real_compiler_takes_every_kernel(compared: dict[str, dict[str, Any]]) -> None:
    done = compile_kernels(stand_in.FOLDER / "home")
    print(f"{done.compiled} kernels compiled for sm_80 and sm_90, {len(done.failures)} failures")
    assert not done.failures
    assert done.compiled > 100
