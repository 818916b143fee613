"""A runner stays for the next job after one that went well or was stopped, and nobody can tell by the numbers."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hposvc.access.tenants import Tenants
from hposvc.jobs import queries
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import State
from tests.support.harness import Service, children_of, eventually, tiny_spec
from tests.support.in_process import METRICS, assert_equal_to_in_process
from tests.support.worker_process import TINY
from workers.child import Child

pytestmark = pytest.mark.slow


def runner_of(worker: subprocess.Popen[bytes]) -> int:
    (pid,) = eventually(lambda: children_of(worker.pid), "a runner")
    return pid


def solved(service: Service) -> None:
    service.assert_succeeded_exactly(service.jobs.submit(tiny_spec()).id)


def test_it_stays_after_success_and_after_a_stop_but_not_after_a_failure(service: Service) -> None:
    worker = service.worker()
    solved(service)
    first = runner_of(worker)
    solved(service)
    assert runner_of(worker) == first
    assert service.until_over(service.jobs.submit(tiny_spec("fault=5")).id).state is State.FAILED
    solved(service)
    second = runner_of(worker)
    assert second != first
    cancelled, paused = (service.jobs.submit(tiny_spec("slow=0.05")).id for _ in range(2))
    service.until_iteration(cancelled, 5)
    service.jobs.cancel(cancelled)
    service.until_iteration(paused, 5)
    service.jobs.pause(paused)
    service.until_state(paused, State.PAUSED)
    assert service.get(cancelled).state is State.CANCELLED
    solved(service)
    assert runner_of(worker) == second
    service.jobs.resume(paused)
    service.assert_succeeded_exactly(paused)


def test_it_does_jobs_of_one_tenant_only(service: Service) -> None:
    worker = service.worker()
    Tenants(service.engine).create("other")
    solved(service)
    first = runner_of(worker)
    others = service.jobs.submit(tiny_spec(), tenant="other").id
    eventually(lambda: queries.get(service.engine, others, tenant="other").state is State.SUCCEEDED, "its success")
    assert runner_of(worker) != first


def test_one_that_dies_while_it_waits_is_replaced(service: Service) -> None:
    worker = service.worker()
    solved(service)
    first = runner_of(worker)
    os.kill(first, signal.SIGKILL)
    solved(service)
    assert runner_of(worker) != first


def test_a_request_that_comes_after_the_end_of_a_job_is_not_for_the_next_one(tmp_path: Path) -> None:
    child = Child(TINY)
    try:
        for _ in range(2):
            assert child.ready.wait(60)
            child.begin("default")
            child.send(solve(tiny_spec(), tmp_path))
            types = []
            while not types or types[-1] not in ("result", "error", "paused"):
                message = child.receive(60)
                assert message is not None
                types.append(message["type"])
            assert types[-1] == "result"
            child.send({"command": "stop"})
    finally:
        child.kill()


def solve(spec: JobSpec, directory: Path) -> dict[str, Any]:
    return {
        "command": "solve",
        "job_id": "job_1",
        "attempt": 1,
        "spec": spec.model_dump(mode="json"),
        "checkpoint_path": None,
        "uploads": [],
        "waits_at": [],
        "directory": str(directory),
        "traceparent": None,
    }


REWEIGHTING = {
    "kind": "data_reweighting",
    "dataset": {"id": "sklearn:wine", "label_noise": {"rate": 0.2}},
    "model": {"type": "mlp", "hidden": [8], "dropout": 0.2},
    "stop": {"iterations": 30},
}
STRENGTHS = {
    "kind": "regularization_tuning",
    "dataset": {"id": "sklearn:diabetes"},
    "solver": {"dtype": "float64", "lower": {"batch_size": 32}},
    "stop": {"iterations": 30},
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_its_numbers_are_those_of_a_new_one(service: Service) -> None:
    worker = service.worker(real=True, lease=60, hang=120)
    ids, runners = [], set()
    for fields in (REWEIGHTING, STRENGTHS, REWEIGHTING):
        ids.append(service.jobs.submit(JobSpec.model_validate(fields)).id)
        assert_equal_to_in_process(service, ids[-1])
        runners.add(runner_of(worker))
    assert len(runners) == 1
    first, again = (queries.iterations(service.engine, ids[place]) for place in (0, 2))
    assert {name: getattr(first, name) for name in METRICS} == {name: getattr(again, name) for name in METRICS}
