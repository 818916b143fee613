"""Two API processes and several workers on PostgreSQL: throughput, and a rolling restart in the middle of the work.

    python -m benchmarks.service_scale --s3 --jobs 500 --workers 4 --restart
    python -m benchmarks.service_scale --s3 --jobs 100 --workers 1 2 4

Jobs are those of tests/support/tiny_runner.py, which compute next to nothing: what is measured is the service. With
--restart they sleep for 30 ms an iteration, and every API process and every worker is replaced, one after another,
once a third of the jobs is done. Each worker is ended when it is seen within a job. At the end every job must have
succeeded as if nothing had happened: no gap, no double, no attempt lost, no iteration computed twice.

It also says where the processor's time went: to the runners (a process for each job), the workers, the API, PostgreSQL
and the store, from what the kernel counted for each process and its children.

The store is a folder, with --s3 moto's server, or what --store-url names: for that, set AWS_ENDPOINT_URL and the keys
as for the service, and make the bucket.
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
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hposvc.client import Client
from hposvc.db import migrate
from hposvc.db.engine import read
from hposvc.db.tables import attempts, iterations, jobs
from hposvc.fleet import workers as fleet
from hposvc.operate.embedded import announced
from hposvc.schema.states import TERMINAL, State
from hposvc.settings import Settings
from tests.support.environment import without_settings
from tests.support.harness import Service, children_of, eventually, tiny_spec
from tests.support.moto import moto
from tests.support.postgresql import PostgreSQL

TIMING = {"lease": 30.0, "terminate": 5.0, "ask": 10.0, "hang": 60.0}
ITERATIONS = 60
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs, counted in the database; only ``released`` may be more than nothing."""

    unfinished: int  # accepted jobs that did not succeed
    gaps: int  # iterations that are missing
    doubles: int  # iterations that were recorded twice
    released: int  # attempts that were handed back by a worker that ended
    lost: int  # attempts that ended in any other way but success


@dataclass(frozen=True)
class Figures:
    """What a run showed: ``seconds`` from the first submission to the end of the last job.

    ``met``: workers that were ended within a job; ``cpu``: seconds of processor time by part of the service; ``idle``:
    the share of the machine's processor time that nobody used.
    """

    jobs: int
    workers: int
    seconds: float
    submit_seconds: float
    met: int
    outcome: Outcome
    cpu: dict[str, float]
    idle: float

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds

    def __str__(self) -> str:
        spent = ", ".join(f"{name} {1000 * seconds / self.jobs:.0f}" for name, seconds in self.cpu.items())
        told = self.outcome
        text = (
            f"{self.workers} workers: {self.jobs} jobs of {ITERATIONS} iterations in {self.seconds:.1f} s, "
            f"{self.rate:.2f} a second; submitted in {self.submit_seconds:.1f} s\n"
            f"  workers ended within a job {self.met}; attempts handed back {told.released}, lost {told.lost}; "
            f"jobs lost {told.unfinished}; iterations missing {told.gaps}, computed twice {told.doubles}"
        )
        if self.cpu:
            text += (
                f"\n  ms of processor a job: {spent}, together {1000 * sum(self.cpu.values()) / self.jobs:.0f}; "
                f"the processors were idle for {self.idle:.0%} of the time"
            )
        return text


def cpu_seconds(pid: int) -> tuple[float, float]:
    """What a process has taken of a processor itself, and what its children have: those that ended, and those alive."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, children = (sum(map(int, fields[at : at + 2])) / TICKS for at in (11, 13))
    for child in children_of(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            children += sum(cpu_seconds(child))
    return own, children


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


class Cpu:
    """Seconds of processor time by part of the service, and of the machine, since this was made."""

    def __init__(self, apis: list[Api], crew: list[subprocess.Popen[bytes]], others: Mapping[str, int]) -> None:
        """``others``: process ids by what they are."""
        self._apis = [api.process.pid for api in apis]
        self._crew = [worker.pid for worker in crew]
        self._others = others
        self._before, self._machine = self._spent(), self._ticks()

    def spent(self) -> dict[str, float]:
        """Seconds by part."""
        return {name: seconds - self._before[name] for name, seconds in self._spent().items()}

    def idle(self) -> float:
        """The share of the time of the machine's processors that nobody took."""
        idle, total = (after - before for after, before in zip(self._ticks(), self._machine, strict=True))
        return idle / total

    def _spent(self) -> dict[str, float]:
        crew = [cpu_seconds(pid) for pid in self._crew]
        return {
            "runners": sum(children for _, children in crew),
            "workers": sum(own for own, _ in crew),
            "API": sum(sum(cpu_seconds(pid)) for pid in self._apis),
        } | {name: sum(cpu_seconds(pid)) for name, pid in self._others.items()}

    @staticmethod
    def _ticks() -> tuple[int, int]:
        """Idle, and all."""
        values = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return values[3] + values[4], sum(values)


def submit(apis: list[Api], number: int, behaviour: str, job_ids: list[str], took: list[float]) -> None:
    """Submit over HTTP, by turns to each API; the client repeats what a restart cuts off. ``took`` gets the seconds."""
    begun = time.monotonic()
    clients = [Client(api.url) for api in apis]
    for index in range(number):
        spec = tiny_spec(f"{behaviour} {index}", solver={"seed": index % 900}, stop={"iterations": ITERATIONS})
        job = clients[index % len(clients)].submit(spec, idempotency_key=f"scale-{index}")
        job_ids.append(job.id)
    took.append(time.monotonic() - begun)
    for client in clients:
        client.close()


def finished(service: Service) -> int:
    with read(service.engine) as connection:
        query = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state.in_(TERMINAL))
        return connection.execute(query).scalar_one()


def run(
    service: Service, *, n_jobs: int, n_workers: int, restart: bool, others: Mapping[str, int] | None = None
) -> Figures:
    """Do the jobs, and check them one by one. ``others``: processes whose time on the processor is told, too."""
    apis = [Api(service, f"api-{number}") for number in (1, 2)]
    crew = [service.worker(**TIMING) for _ in range(n_workers)]
    eventually(lambda: ready(service) == n_workers, "every worker is ready")
    job_ids: list[str] = []
    cpu = None if restart else Cpu(apis, crew, others or {})  # whoever is replaced takes its counts along
    begun = time.monotonic()
    took: list[float] = []
    submitter = threading.Thread(target=submit, args=(apis, n_jobs, "slow=0.03" if restart else "job", job_ids, took))
    submitter.start()
    met = replace_all(service, apis, crew, n_jobs // 3) if restart else 0
    submitter.join()
    eventually(lambda: finished(service) == n_jobs, "all are done", patience=1200.0)
    seconds = time.monotonic() - begun
    spent, idle = (cpu.spent(), cpu.idle()) if cpu else ({}, 0.0)
    for job_id in job_ids:
        service.assert_succeeded_exactly(job_id)
    service.assert_history_is_sound(job_ids)
    for process in crew:
        process.terminate()
        process.wait()
    for api in apis:
        api.stop()
    outcome = count(service, n_jobs)
    assert (outcome.unfinished, outcome.gaps, outcome.doubles, outcome.lost) == (0, 0, 0, 0), outcome
    assert len(set(job_ids)) == n_jobs
    assert outcome.released >= met
    return Figures(n_jobs, n_workers, seconds, took[0], met, outcome, spent, idle)


def replace_all(service: Service, apis: list[Api], crew: list[subprocess.Popen[bytes]], after: int) -> int:
    """Replace every process, one after another, once ``after`` jobs are done; returns how many were met at work.

    A worker is ended when the database has it within a job, and has to have handed that one back.
    """
    assert len(crew) >= len(apis)
    eventually(lambda: finished(service) >= after, "a third is done")
    met = 0
    for index, worker in enumerate(crew):
        crew[index] = service.worker(**TIMING)
        job_id, attempt = service.until_at_work(worker)
        worker.terminate()
        assert worker.wait(60) == 0, service.logs()
        met += service.attempts(job_id)[attempt - 1]["outcome"] == "released"
        if index < len(apis):
            apis[index].restart()
    assert met, "every job that a worker had ended before the worker did"
    return met


def ready(service: Service) -> int:
    from hposvc.jobs import queries

    return sum(worker.state == "ready" for worker in queries.workers(service.engine))


def count(service: Service, n_jobs: int) -> Outcome:
    """What the database says in the end."""
    with read(service.engine) as connection:
        succeeded = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state == State.SUCCEEDED)
        there = connection.execute(sa.select(sa.func.count()).select_from(iterations)).scalar_one()
        by_outcome = sa.select(attempts.c.outcome, sa.func.count()).group_by(attempts.c.outcome)
        outcomes = dict(connection.execute(by_outcome).all())
        recorded = fleet.totals(connection)["iterations"]
        return Outcome(
            unfinished=n_jobs - connection.execute(succeeded).scalar_one(),
            gaps=n_jobs * ITERATIONS - there,
            doubles=recorded - there,
            released=outcomes.pop("released", 0),
            lost=sum(outcomes.values()) - outcomes.get("succeeded", 0),
        )


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
    store = parser.add_mutually_exclusive_group()
    store.add_argument("--s3", action="store_true", help="keep the files in moto's server")
    store.add_argument("--store-url")
    options = parser.parse_args()
    server = PostgreSQL()
    server.start()
    try:
        with tempfile.TemporaryDirectory() as logs, moto(Path(logs)) if options.s3 else nullcontext() as bucket:
            others = {"PostgreSQL": server.pid}
            if bucket is not None:
                os.environ.update(bucket.variables)
                options.store_url = f"s3://{bucket.bucket}"
                others["moto"] = bucket.pid
            for n_workers in options.workers:
                with fresh(server, f"scale_{n_workers}_{os.getpid()}", options.store_url) as service:
                    done = run(
                        service, n_jobs=options.jobs, n_workers=n_workers, restart=options.restart, others=others
                    )
                print(done, flush=True)
    finally:
        server.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
