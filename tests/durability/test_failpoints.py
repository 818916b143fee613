"""SIGKILL at every named write point, on both databases: all points are armed, and all of them must strike."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import hposvc
from hposvc import failpoints
from hposvc.db.engine import create_engine, read
from hposvc.db.tables import doomed_files, jobs
from hposvc.jobs import removal
from hposvc.schema.states import TERMINAL, State
from hposvc.storage.store import Store
from tests.support.harness import Service, eventually, tiny_spec

pytestmark = [pytest.mark.durability, pytest.mark.slow]

LEASE = {"lease": 2.0}


def armed(directory: Path, points: Iterable[str]) -> dict[str, str]:
    fired = directory / "fired"
    fired.mkdir(exist_ok=True)
    return {"HPOSVC_FAILPOINTS": ",".join(points), "HPOSVC_FAILPOINTS_FIRED": str(fired)}


def struck(directory: Path) -> set[str]:
    return {path.name for path in (directory / "fired").iterdir()}


def run_through(service: Service, job_id: str, environment: dict[str, str]) -> int:
    """Run workers, each as soon as the one before has died, until the job is over; returns how many died."""
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

    failed = service.jobs.submit(tiny_spec("diverge=23", max_attempts=20)).id
    run_through(service, failed, environment)
    error = service.get(failed).error
    assert error is not None
    assert (error.reason, error.iteration) == ("diverged", 23)

    assert struck(tmp_path) == set(failpoints.STOPPING)
    service.assert_history_is_sound([lost, released, stopped, failed])


def test_every_point_in_the_code_is_gone_through() -> None:
    root = Path(hposvc.__file__).parents[1]
    sources = [path for package in ("hposvc", "workers", "api") for path in (root / package).rglob("*.py")]
    in_code = [name for path in sources for name in re.findall(r'failpoint\("([^"]+)"\)', path.read_text())]
    groups = [points for points in vars(failpoints).values() if isinstance(points, tuple)]
    assert sorted(in_code) == sorted(point for group in groups for point in group), "each once, and each in a group"


def test_whoever_removes_old_jobs_dies_at_each_point(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left then is either whole, or gone with its files once somebody removes again."""
    store = Store((service.directory / "store").as_uri())
    service.worker()
    for point in failpoints.RETENTION:
        job_id = service.jobs.submit(tiny_spec()).id
        service.assert_succeeded_exactly(job_id)
        child = os.fork()
        if child == 0:
            monkeypatch.setattr(failpoints, "_armed", {point: 1})
            removal.Removal(create_engine(service.url), store).remove(job_id)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, point
        if point == "retention.before_commit":
            service.assert_succeeded_exactly(job_id)
            assert [path for path in (service.directory / "store").rglob("*") if path.is_file()]
            removal.Removal(service.engine, store).remove(job_id)
        else:
            removal.Removal(service.engine, store).clear_files()
        with read(service.engine) as connection:
            assert connection.execute(sa.select(jobs.c.id)).all() == []
            assert connection.execute(sa.select(doomed_files.c.url)).all() == []
        assert not [path for path in (service.directory / "store").rglob("*") if path.is_file()]


class Api:
    """API processes at one address: when one is killed, the next takes its place."""

    def __init__(self, service: Service, environment: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self._url = f"http://127.0.0.1:{port}"
        self._log = service.directory / "api.log"
        with self._log.open("wb") as log:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-m", "tests.support.api_processes"],
                stdout=log,
                stderr=log,
                env=os.environ | environment | {
                    "HPOSVC_DATABASE_URL": service.url, "HPOSVC_DATA_DIR": str(service.directory), "HPOSVC_PORT": port
                },
                start_new_session=True,
            )  # fmt: skip

    def insist(self, path: str, **request: Any) -> dict[str, Any]:
        """Post until there is an answer, as a client does whose connection breaks."""

        def answer() -> httpx.Response | None:
            assert self._watchdog.poll() is None, self._log.read_text()
            with contextlib.suppress(httpx.TransportError):
                return httpx.post(self._url + path, timeout=60, trust_env=False, **request)
            return None

        response = eventually(answer, f"an answer to POST {path}")
        assert response is not None
        assert response.status_code == 202, response.text
        document: dict[str, Any] = response.json()
        return document

    def close(self) -> None:
        os.killpg(self._watchdog.pid, signal.SIGKILL)
        self._watchdog.wait()


def test_the_api_dies_at_each_of_its_points(service: Service, tmp_path: Path) -> None:
    """Whoever asks gets an answer in the end, and what was asked for happened once."""
    spec = tiny_spec().model_dump(mode="json", exclude_unset=True)
    ids = {action: service.jobs.submit(tiny_spec()).id for action in ("cancel", "pause", "resume", "retry")}
    service.jobs.pause(ids["resume"])
    service.jobs.cancel(ids["retry"])
    deaths = 0
    api = Api(service, armed(tmp_path, (*failpoints.SUBMIT, *failpoints.REQUEST)))
    try:
        ids["submit"] = api.insist("/v1/jobs", json=spec, headers={"Idempotency-Key": "one"})["id"]
        for action in ("submit", "cancel", "pause", "resume", "retry"):
            if action != "submit":
                api.insist(f"/v1/jobs/{ids[action]}/{action}")
            at = set(failpoints.SUBMIT if action == "submit" else failpoints.REQUEST)
            assert struck(tmp_path) == at - (set() if action in ("submit", "resume", "retry") else {"request.enqueued"})
            deaths += len(struck(tmp_path))
            for path in (tmp_path / "fired").iterdir():
                path.unlink()  # to strike again, for the next action
    finally:
        api.close()
    assert service.get(ids["cancel"]).state is State.CANCELLED
    assert service.get(ids["pause"]).state is State.PAUSED
    assert [service.get(ids[action]).attempt for action in ("submit", "resume", "retry")] == [1, 2, 2], "asked for once"
    with read(service.engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one() == 5, "one key, one job"
    service.worker()
    for action in ("submit", "resume", "retry"):
        service.assert_succeeded_exactly(ids[action])
    service.assert_history_is_sound(ids.values())
    print(f"{service.engine.dialect.name}: {deaths} APIs killed, 0 requests lost or doubled")
