"""SIGKILL at every named write point, on both databases: all points are armed, and all of them must strike."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc import failpoints
from hposvc.db.engine import read
from hposvc.db.tables import jobs
from hposvc.jobs.states import TERMINAL, State
from tests.workers.harness import Service, eventually, tiny_spec

pytestmark = [pytest.mark.durability, pytest.mark.slow]

LEASE = {"lease": 2.0}


def armed(directory: Path, points: Iterable[str]) -> dict[str, str]:
    fired = directory / "fired"
    fired.mkdir(exist_ok=True)
    return {"HPOSVC_FAILPOINTS": ",".join(points), "HPOSVC_FAILPOINTS_FIRED": str(fired)}


def struck(directory: Path) -> set[str]:
    return {path.name for path in (directory / "fired").iterdir()}


def run_through(service: Service, job_id: str, environment: dict[str, str]) -> int:
    """Run workers, each as soon as the one before has died, until the job is over; answers how many died."""
    deaths = 0
    worker = service.worker(environment=environment, **LEASE)

    def over() -> bool:
        nonlocal worker, deaths
        if worker.poll() is not None:
            assert worker.returncode == -signal.SIGKILL, service.logs()
            deaths += 1
            worker = service.worker(environment=environment, **LEASE)
        return service.get(job_id).state in TERMINAL

    eventually(over, "the job is over", patience=180)
    if worker.poll() is not None:  # right after the last commit
        deaths += 1
    return deaths


def test_the_supervisor_dies_at_each_of_its_points(service: Service, tmp_path: Path) -> None:
    environment = armed(tmp_path, failpoints.SUPERVISOR)
    job_id = service.jobs.submit(tiny_spec("slow=0.02", max_attempts=20, stop={"iterations": 100})).id
    run_through(service, job_id, environment)
    service.assert_succeeded_exactly(job_id)
    eventually(lambda: struck(tmp_path) == set(failpoints.SUPERVISOR), f"all strike, but only {struck(tmp_path)} did")
    service.assert_history_is_sound([job_id])
    print(f"{service.engine.dialect.name}: {len(struck(tmp_path))} supervisors killed, 0 jobs lost")


def test_the_runner_dies_at_each_of_its_points(service: Service, tmp_path: Path) -> None:
    service.worker(environment=armed(tmp_path, failpoints.RUNNER))
    job_id = service.jobs.submit(tiny_spec(max_attempts=20)).id
    service.assert_succeeded_exactly(job_id)
    assert struck(tmp_path) == set(failpoints.RUNNER)
    assert sum(attempt["outcome"] == "lost" for attempt in service.attempts(job_id)) >= len(failpoints.RUNNER) - 1
    service.assert_history_is_sound([job_id])
    print(f"{service.engine.dialect.name}: {len(struck(tmp_path))} runners killed, 0 jobs lost")


def test_the_supervisor_dies_while_a_job_is_being_given_up(service: Service, tmp_path: Path) -> None:
    environment = armed(tmp_path, failpoints.STOPPING)
    lost = service.jobs.submit(tiny_spec("crash=33 once", max_attempts=20)).id
    assert run_through(service, lost, environment) >= 2  # giving up the attempt, and sweeping up after that
    service.assert_succeeded_exactly(lost)

    released = service.jobs.submit(tiny_spec("slow=0.02", max_attempts=20)).id
    service.until_iteration(released, 5)
    service.processes[-1].terminate()
    run_through(service, released, environment)
    service.assert_succeeded_exactly(released)

    stopped = service.jobs.submit(tiny_spec("slow=0.02", max_attempts=20, stop={"iterations": 100_000})).id
    service.until_iteration(stopped, 5)
    service.jobs.cancel(stopped)
    run_through(service, stopped, environment)
    assert service.get(stopped).state is State.CANCELLED

    assert struck(tmp_path) == set(failpoints.STOPPING)
    service.assert_history_is_sound([lost, released, stopped])


def test_whoever_submits_dies_at_each_point(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job_ids = []
    for point in failpoints.SUBMIT:
        child = os.fork()
        if child == 0:
            monkeypatch.setattr(failpoints, "_armed", {point: 1})
            Service(service.url, service.directory).jobs.submit(tiny_spec(), idempotency_key=point)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        job_ids.append(service.jobs.submit(tiny_spec(), idempotency_key=point).id)
    with read(service.engine) as connection:
        assert sorted(connection.execute(sa.select(jobs.c.id)).scalars()) == sorted(job_ids), "one key, one job"
    service.worker()
    for job_id in job_ids:
        service.assert_succeeded_exactly(job_id)
