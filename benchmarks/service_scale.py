"""Two API processes and several workers on PostgreSQL: throughput, and a rolling restart in the middle of the work.

    python -m benchmarks.service_scale --jobs 500 --workers 4 --restart
    python -m benchmarks.service_scale --jobs 100 --workers 1 2 4

Jobs are those of tests/workers/tiny_runner.py, which compute next to nothing: what is measured is the service. With
--restart they sleep for 30 ms an iteration, so that the restart meets them at work, and every API process and every
worker is replaced, one after another, once a third of the jobs is done. At the end every job must have succeeded as if
nothing had happened: no gap, no double, no attempt lost, no iteration computed twice. The store is a folder, or what
--store-url names: for S3, set AWS_ENDPOINT_URL and the keys as for the service, and make the bucket.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hposvc.client import Client
from hposvc.db import migrate
from hposvc.db.engine import read
from hposvc.db.tables import attempts, jobs
from hposvc.embedded import announced
from hposvc.jobs import fleet
from hposvc.jobs.states import TERMINAL
from hposvc.settings import Settings
from tests.environment import without_settings
from tests.postgresql import PostgreSQL
from tests.workers.harness import Service, eventually, tiny_spec

TIMING = {"lease": 30.0, "terminate": 5.0, "ask": 10.0, "hang": 60.0}
ITERATIONS = 60


@dataclass(frozen=True)
class Figures:
    """What a run showed: ``seconds`` from the first submission to the end of the last job."""

    jobs: int
    workers: int
    seconds: float
    released: int
    submit_seconds: float

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds


class Api:
    """An API process on a port that it keeps over restarts."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._settings = Settings(data_dir=service.directory / name)
        self._port = "0"
        self.url = ""
        self.start()

    def start(self) -> None:
        variables = without_settings(
            HPOSVC_DATABASE_URL=self._service.url,
            HPOSVC_STORE_URL=self._service.store_url,
            HPOSVC_DATA_DIR=str(self._settings.data_dir),
            HPOSVC_PORT=self._port,
        )
        with (self._service.directory / "api.log").open("ab") as log:
            command = [sys.executable, "-m", "hposvc", "api"]
            self.process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        self.url = eventually(lambda: announced(self._settings).get("url"), "the API listens")
        self._port = self.url.rsplit(":", 1)[1]
        with Client(self.url) as client:
            eventually(client.is_ready, "the API is ready")

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0

    def restart(self) -> None:
        self.stop()
        self.start()


def submit(apis: list[Api], number: int, behaviour: str, job_ids: list[str]) -> None:
    """Submit over HTTP, by turns to each API; the client repeats what a restart cuts off."""
    clients = [Client(api.url) for api in apis]
    for index in range(number):
        spec = tiny_spec(f"{behaviour} {index}", solver={"seed": index % 900}, stop={"iterations": ITERATIONS})
        job = clients[index % len(clients)].submit(spec, idempotency_key=f"scale-{index}")
        job_ids.append(job.id)
    for client in clients:
        client.close()


def finished(service: Service) -> int:
    with read(service.engine) as connection:
        query = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state.in_(TERMINAL))
        return connection.execute(query).scalar_one()


def run(service: Service, *, n_jobs: int, n_workers: int, restart: bool) -> Figures:
    """Do the jobs, and check them one by one."""
    apis = [Api(service, f"api-{number}") for number in (1, 2)]
    crew = [service.worker(**TIMING) for _ in range(n_workers)]
    eventually(lambda: ready(service) == n_workers, "every worker is ready")
    job_ids: list[str] = []
    begun = time.monotonic()
    submitter = threading.Thread(target=submit, args=(apis, n_jobs, "slow=0.03" if restart else "job", job_ids))
    submitter.start()
    if restart:
        assert n_workers >= len(apis)
        eventually(lambda: finished(service) >= n_jobs // 3, "a third is done")
        for index, worker in enumerate(crew):
            crew[index] = service.worker(**TIMING)
            worker.terminate()
            assert worker.wait(60) == 0, service.logs()
            if index < len(apis):
                apis[index].restart()
        print(f"everything restarted {time.monotonic() - begun:.0f} s after the start", flush=True)
    submitter.join()
    submitted = time.monotonic()
    eventually(lambda: finished(service) == n_jobs, "all are done", patience=1200.0)
    seconds = time.monotonic() - begun
    released = check(service, job_ids, n_jobs)
    for process in crew:
        process.terminate()
        process.wait()
    with read(service.engine) as connection:
        counted = fleet.totals(connection)
    assert counted["iterations"] == n_jobs * ITERATIONS, counted  # none computed twice
    assert counted["attempts.succeeded"] == n_jobs
    for api in apis:
        api.stop()
    return Figures(n_jobs, n_workers, seconds, released, submitted - begun)


def ready(service: Service) -> int:
    from hposvc.jobs import queries

    return sum(worker.state == "ready" for worker in queries.workers(service.engine))


def check(service: Service, job_ids: list[str], n_jobs: int) -> int:
    """Every job succeeded exactly; answers how many attempts were handed back."""
    assert len(set(job_ids)) == n_jobs
    for job_id in job_ids:
        service.assert_succeeded_exactly(job_id)
    service.assert_history_is_sound(job_ids)
    with read(service.engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one() == n_jobs
        query = sa.select(attempts.c.outcome, sa.func.count()).group_by(attempts.c.outcome)
        outcomes = dict(connection.execute(query).all())
    assert outcomes.keys() <= {"succeeded", "released"}, outcomes
    return outcomes.get("released", 0)


@contextlib.contextmanager
def fresh(server: PostgreSQL, name: str, store_url: str | None) -> Iterator[Service]:
    """A service with a database and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hposvc-scale-") as directory:
        url = server.create(name)
        migrate.upgrade(url)
        service = Service(url, Path(directory), store_url and f"{store_url}/{name}")
        try:
            yield service
        finally:
            service.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--workers", type=int, nargs="+", default=[4])
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--store-url")
    options = parser.parse_args()
    server = PostgreSQL()
    server.start()
    try:
        for n_workers in options.workers:
            with fresh(server, f"scale_{n_workers}_{os.getpid()}", options.store_url) as service:
                done = run(service, n_jobs=options.jobs, n_workers=n_workers, restart=options.restart)
            print(
                f"{done.workers} workers: {done.jobs} jobs of {ITERATIONS} iterations in {done.seconds:.1f} s, "
                f"{done.rate:.2f} a second; submitted in {done.submit_seconds:.1f} s; handed back {done.released}, "
                "lost 0",
                flush=True,
            )
    finally:
        server.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
