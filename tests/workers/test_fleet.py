"""Many workers: jobs find those that offer what they need, and workers leave without costing an iteration."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from hposvc.db.engine import read
from hposvc.db.tables import jobs, workers
from hposvc.fleet import workers as fleet
from hposvc.jobs import queries
from hposvc.machine import gpus
from hposvc.schema import capabilities
from hposvc.schema.states import State
from hposvc.schema.workers import WorkerResource
from tests.support.environment import without_settings
from tests.support.harness import PATIENCE, Service, eventually, tiny_spec

CPU = ("any", "cpu")
CUDA = ("any", "cuda", "cuda-large")


def only_worker(service: Service) -> WorkerResource:
    return eventually(lambda: next(iter(queries.workers(service.engine)), None), "a worker that reports")


def counted(service: Service) -> dict[str, int]:
    with read(service.engine) as connection:
        return fleet.totals(connection)


def test_a_job_waits_for_a_worker_that_has_what_it_needs(service: Service) -> None:
    job = service.jobs.submit(tiny_spec(resources={"device": "cuda", "memory": "large"}))
    assert job.notice is not None
    assert "no live worker offers cuda-large" in job.notice
    assert "16 GiB" in job.notice
    service.worker(offers=CPU)
    anyone = service.jobs.submit(tiny_spec())
    assert anyone.notice is None
    service.assert_succeeded_exactly(anyone.id)
    assert service.get(job.id).state is State.QUEUED
    service.worker(offers=CUDA)
    service.assert_succeeded_exactly(job.id)
    assert service.jobs.submit(tiny_spec(resources={"device": "cuda"})).notice is None


def test_a_worker_of_many_queues_takes_one_job_at_a_time(service: Service) -> None:
    """The second job, of another of its queues, runs on the worker that is idle, at the same time."""
    for _ in range(2):
        service.worker(offers=CUDA)
    eventually(lambda: len(fleet.offered(service.engine)) == len(CUDA), "both are there")
    ids = [
        service.jobs.submit(tiny_spec("slow=0.1", resources=resources)).id
        for resources in ({"device": "cuda"}, {"device": "auto"})
    ]
    eventually(lambda: all(service.get(job_id).state is State.RUNNING for job_id in ids), service.logs())
    assert len({service.get(job_id).worker for job_id in ids}) == 2
    for job_id in ids:
        service.assert_succeeded_exactly(job_id)


@pytest.mark.parametrize("how", ["request", "signal"])
def test_a_worker_that_drains_finishes_its_job_and_takes_no_other(service: Service, how: str) -> None:
    process = service.worker()
    first = service.jobs.submit(tiny_spec("slow=0.05")).id
    service.until_iteration(first, 5)
    if how == "request":
        fleet.Fleet(service.engine).ask(only_worker(service).id, "drain")
    else:
        process.send_signal(signal.SIGUSR1)
    eventually(lambda: only_worker(service).state == "draining", "it says so")
    second = service.jobs.submit(tiny_spec()).id
    assert process.wait(PATIENCE) == 0
    service.assert_succeeded_exactly(first)
    assert [attempt["outcome"] for attempt in service.attempts(first)] == ["succeeded"]
    assert service.get(second).state is State.QUEUED
    assert queries.workers(service.engine) == []
    service.worker()
    service.assert_succeeded_exactly(second)


def test_a_worker_that_is_asked_to_leave_hands_its_job_back(service: Service) -> None:
    process = service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.05")).id
    service.until_iteration(job_id, 5)
    worker = only_worker(service).id
    fleet.Fleet(service.engine).ask(worker, "leave")
    fleet.Fleet(service.engine).ask(worker, "drain")  # the weaker wish does not undo the stronger one
    assert process.wait(PATIENCE) == 0
    service.worker()
    service.assert_succeeded_exactly(job_id)
    assert [attempt["outcome"] for attempt in service.attempts(job_id)] == ["released", "succeeded"]
    with pytest.raises(fleet.WorkerNotFound):
        fleet.Fleet(service.engine).ask(worker, "drain")


def test_a_rolling_restart_computes_every_iteration_once(service: Service) -> None:
    crew = [service.worker() for _ in range(2)]
    ids = [service.jobs.submit(tiny_spec("slow=0.05", solver={"seed": seed})).id for seed in range(6)]
    for worker in crew:
        service.worker()
        service.until_at_work(worker)
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    for job_id in ids:
        service.assert_succeeded_exactly(job_id)
    outcomes = [attempt["outcome"] for job_id in ids for attempt in service.attempts(job_id)]
    assert set(outcomes) == {"released", "succeeded"}, "the restart met no job at work"
    for worker in service.processes[2:]:
        worker.terminate()
        worker.wait(PATIENCE)
    total = counted(service)
    assert total["iterations"] == sum(len(queries.iterations(service.engine, job_id).iteration) for job_id in ids)
    assert total["attempts.succeeded"] == len(ids)
    assert total["attempts.released"] == outcomes.count("released")
    assert total.get("leases_lost", 0) == 0


def test_a_worker_serves_its_own_metrics_where_it_is_told_to(service: Service) -> None:
    service.worker(metrics_port=0)
    job_id = service.jobs.submit(tiny_spec()).id
    service.assert_succeeded_exactly(job_id)
    found = re.search(r"http://127\.0\.0\.1:\d+/metrics", service.logs())
    assert found, service.logs()

    def ready() -> str:
        text = httpx.get(found[0], trust_env=False, timeout=PATIENCE).text
        return text if 'hposvc_worker_attempts_total{outcome="succeeded"} 1.0' in text else ""

    text = eventually(ready, "the attempt is counted")
    assert f"hposvc_worker_iterations_total {service.get(job_id).progress.iteration:.1f}" in text
    assert "process_resident_memory_bytes" in text
    assert job_id not in text


def test_a_worker_says_in_its_log_which_job_and_attempt_it_is_at(service: Service) -> None:
    process = service.worker(environment={"HPOSVC_LOG_FORMAT": "json"})
    job_id = service.jobs.submit(tiny_spec()).id
    service.assert_succeeded_exactly(job_id)
    worker = only_worker(service).id
    process.terminate()
    assert process.wait(PATIENCE) == 0
    lines = [json.loads(line) for line in service.logs().splitlines()]
    of_the_job = [(line["attempt"], line["worker_id"]) for line in lines if line.get("job_id") == job_id]
    assert of_the_job == [(1, worker)] * 2
    assert lines[-1]["level"]


def test_a_worker_removes_what_finished_too_long_ago(service: Service) -> None:
    service.worker(retention=3600.0)
    old = service.jobs.submit(tiny_spec()).id
    service.assert_succeeded_exactly(old)
    with service.engine.begin() as connection:
        connection.execute(jobs.update().values(finished_at=jobs.c.finished_at - 7200))
    service.processes[0].terminate()
    service.processes[0].wait(PATIENCE)
    service.worker(retention=3600.0)
    recent = service.jobs.submit(tiny_spec()).id
    service.assert_succeeded_exactly(recent)
    eventually(lambda: [job.id for job in queries.list_(service.engine).items] == [recent], "the old one is gone")
    assert [path for path in (service.directory / "store").rglob("*") if old in path.parts] == []


def test_what_a_killed_worker_had_counted_stays_counted(service: Service) -> None:
    victim = service.worker()
    job_id = service.jobs.submit(tiny_spec("slow=0.05")).id
    eventually(lambda: counted(service).get("iterations", 0) > 0, "the first are counted")
    before = counted(service)["iterations"]
    victim.kill()
    service.worker()
    service.assert_succeeded_exactly(job_id)
    with service.engine.begin() as connection:
        connection.execute(workers.update().values(heartbeat_at=0))
        fleet.forget(connection)
        assert connection.execute(sa.select(sa.func.count()).select_from(workers)).scalar_one() == 0
        assert fleet.totals(connection)["iterations"] >= before
    eventually(lambda: counted(service).get("leases_lost") == 1, "the loss is counted")


@pytest.mark.parametrize(
    ("memory", "offered"),
    [
        ({"cpu": 8 * 2**30}, {"any", "cpu"}),
        ({"cpu": 31 * 2**30}, {"any", "cpu", "any-large", "cpu-large"}),
        ({"cuda": 80 * 2**30}, {"any", "cuda", "any-large", "cuda-large", "any-huge", "cuda-huge"}),
        (
            {"cuda": 15 * 2**30, "cpu": 62 * 2**30},
            {"any", "cuda", "any-large", "cuda-large", "cpu", "cpu-large", "cpu-huge"},
        ),
    ],
)
def test_what_a_worker_offers_follows_from_its_devices_and_their_memory(
    memory: dict[str, int], offered: set[str]
) -> None:
    found = capabilities.offers(memory)
    assert set(found) == offered
    assert len(found) == len(offered)


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nvidia-smi that lists two."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '0, GPU-aaaa, 81559'\necho '1, GPU-bbbb, 24576'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program.parent


def test_gpus_are_found_by_name_and_number(two_gpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(gpu.id, gpu.memory // 2**20) for gpu in gpus.choose("all")] == [("GPU-aaaa", 81559), ("GPU-bbbb", 24576)]
    assert [gpu.id for gpu in gpus.choose("1")] == ["GPU-bbbb"]
    with pytest.raises(ValueError, match="there is no GPU 7 here; there are: 0, 1"):
        gpus.choose("0,7")
    for allowed, ids in (("1", ["GPU-bbbb"]), ("GPU-bbbb,GPU-aaaa", ["GPU-bbbb", "GPU-aaaa"]), ("", [])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
        assert [gpu.id for gpu in gpus.visible()] == ids


def per_gpu(script: str, directory: Path, **options: Any) -> subprocess.Popen[bytes]:
    """A process that runs ``script`` as the worker of each GPU."""
    file = directory / "worker.py"
    file.write_text(script)
    code = (
        "import sys, logging\nfrom hposvc.machine import gpus\nfrom workers import per_gpu\n"
        "per_gpu.RESTART_SECONDS = (0.0,)\n"
        f"per_gpu.WORKER = (sys.executable, {str(file)!r})\n"
        f"per_gpu.WorkerPerGpu(gpus.choose('all'), metrics_port={options.get('metrics_port')!r}).run()"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=directory, env=os.environ.copy())


BODY = """
import os, pathlib, signal, sys, time
place = pathlib.Path(os.environ["CUDA_VISIBLE_DEVICES"])
place.open("a").write(" ".join(os.environ.get(name, "-") for name in ("HPOSVC_DEVICE", "HPOSVC_METRICS_PORT")) + "\\n")
ended = []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, _: ended.append(number))
if CRASHES and len(place.read_text().splitlines()) == 1:
    sys.exit(1)
while not ended:
    time.sleep(0.01)
place.open("a").write(f"ended by {ended[0]}\\n")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_one_worker_for_each_gpu_sees_only_that_one_and_ends_with_the_others(
    two_gpus: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = per_gpu(BODY.replace("CRASHES", "False"), tmp_path, metrics_port=9600)
    files = [tmp_path / "GPU-aaaa", tmp_path / "GPU-bbbb"]
    eventually(lambda: all(file.is_file() and file.read_text().endswith("\n") for file in files), "both run")
    process.send_signal(number)
    assert process.wait(PATIENCE) == 0
    assert [file.read_text() for file in files] == [f"cuda {port}\nended by {number.value}\n" for port in (9600, 9601)]


def test_the_worker_of_a_gpu_that_crashes_starts_again(two_gpus: Path, tmp_path: Path) -> None:
    process = per_gpu(BODY.replace("CRASHES", "True"), tmp_path)
    file = tmp_path / "GPU-aaaa"
    eventually(lambda: file.is_file() and file.read_text().count("cuda") == 2, "it started twice")
    process.terminate()
    assert process.wait(PATIENCE) == 0


def test_without_a_gpu_the_command_says_what_is_missing(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("hposvc"), "worker", "--gpus", "all", "--data-dir", tmp_path]
    variables = without_settings(CUDA_VISIBLE_DEVICES="")
    run = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert run.returncode == 5
    assert "no GPU to work on" in run.stderr
    assert "hposvc doctor" in run.stderr


def test_a_machine_whose_toolkit_is_missing_starts_no_worker_for_its_gpus(two_gpus: Path, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("hposvc"), "worker", "--gpus", "all", "--data-dir", tmp_path]
    variables = without_settings(PATH=f"{two_gpus}:/usr/bin:/bin", nvcc_path=str(tmp_path / "nvcc"))
    run = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert run.returncode == 5
    assert "nvcc does not run" in run.stderr
    assert "CUDA 12 or 13" in run.stderr
    assert "Traceback" not in run.stderr


def test_what_is_asked_of_a_worker_reaches_it_over_http_and_by_command(service: Service) -> None:
    from tests.support.serving import Server

    process = service.worker()
    with Server(service.url, service.directory) as server:
        worker = only_worker(service)
        hposvc = Path(sys.executable).with_name("hposvc")
        listed = subprocess.run(
            [hposvc, "worker", "list", "--url", server.url], env=without_settings(), capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip
        assert worker.id in listed
        once = subprocess.run(
            [hposvc, "top", "--once", "--url", server.url], env=without_settings(), capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip
        assert worker.id in once
        assert "0 queued" in once
        nobody = httpx.post(f"{server.url}/v1/workers/nobody/drain", trust_env=False, timeout=PATIENCE)
        assert nobody.status_code == 404
        assert nobody.json()["type"] == "/problems/worker-not-found"
        subprocess.run([hposvc, "worker", "drain", worker.id, "--url", server.url], env=without_settings(), check=True)
    assert process.wait(PATIENCE) == 0


def test_a_port_for_metrics_that_is_taken_is_said_and_the_worker_does_not_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        variables = without_settings(HPOSVC_DATA_DIR=str(tmp_path), HPOSVC_METRICS_PORT=port)
        hposvc = Path(sys.executable).with_name("hposvc")
        subprocess.run([hposvc, "db", "upgrade"], env=variables, check=True)
        run = subprocess.run([hposvc, "worker"], env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 5
    assert f"cannot serve metrics on port {port}" in run.stderr
    assert "HPOSVC_METRICS_PORT" in run.stderr
