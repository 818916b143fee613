"""Real workers as processes, and conditions to wait for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from hposvc.db.engine import create_engine, read
from hposvc.db.tables import DEFAULT_TENANT, attempts, events, hyperparameters, iterations, jobs
from hposvc.jobs import queries
from hposvc.jobs.service import Jobs
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import TERMINAL, State
from hposvc.snapshots import stretch
from tests.support.tiny_runner import expected

T = TypeVar("T")

# Short, so that a lost worker is noticed soon; long enough for two busy cores.
# a lease outlasts the seconds for which a busy machine stands still
TIMING = {"lease": 5.0, "ask": 1.0, "terminate": 1.0, "drain": 10.0, "hang": 6.0, "start": 60.0, "heartbeat": 0.5}
PATIENCE = 240.0  # generous: it is spent only by a test that fails


def tiny_spec(name: str = "plain", **changes: Any) -> JobSpec:
    """A spec for the tiny runner; ``name`` says how it behaves."""
    fields: dict[str, Any] = {
        "kind": "data_reweighting",
        "name": name,
        "dataset": {"id": "sklearn:iris"},
        "stop": {"iterations": 60},
        "checkpoint_every": 10,
    }
    return JobSpec.model_validate(fields | changes)


class UncheckedJobs(Jobs):
    """Takes every specification, whatever its data set: these jobs are computed by a runner that needs none."""

    def check(self, spec: JobSpec, *, tenant: str = DEFAULT_TENANT) -> tuple[JobSpec, tuple[str, ...]]:
        del tenant
        return spec, ()


def eventually(condition: Callable[[], T], what: str | Callable[[], str], patience: float = PATIENCE) -> T:
    """Wait until ``condition()`` is true, and return what it returned.

    ``what`` is waited for. A function is called when the wait has failed, so that it can say what there is by then.
    """
    deadline = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s in vain: {what() if callable(what) else what}")
        time.sleep(0.02)


class Service:
    """A database with its jobs, a store, and the workers that a test starts."""

    def __init__(self, database_url: str, directory: Path, store_url: str | None = None) -> None:
        self.url = database_url
        self.directory = directory
        self.store_url = store_url or (directory / "store").as_uri()
        self.engine = create_engine(database_url)
        self.jobs = UncheckedJobs(self.engine)
        self.processes: list[subprocess.Popen[bytes]] = []

    def worker(
        self,
        *,
        real: bool = False,
        environment: Mapping[str, str] | None = None,
        memory_limit: float | None = None,
        offers: Sequence[str] = ("any",),
        metrics_port: int | None = None,
        retention: float | None = None,
        **timing: float,
    ) -> subprocess.Popen[bytes]:
        """Start a worker."""
        options = {
            "database_url": self.url,
            "store_url": self.store_url,
            "work": str(self.directory / "work"),
            "real": real,
            "timing": TIMING | timing,
            "memory_limit": memory_limit,
            "offers": list(offers),
            "metrics_port": metrics_port,
            "retention": retention,
        }
        log = (self.directory / f"worker-{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.worker_process", json.dumps(options)],
            stdout=log,
            stderr=log,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        )
        log.close()
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.engine.dispose()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.directory.glob("worker-*.log")))

    def get(self, job_id: str) -> JobResource:
        return queries.get(self.engine, job_id)

    def until(self, job_id: str, condition: Callable[[JobResource], bool], what: str) -> JobResource:
        def check() -> JobResource | None:
            job = self.get(job_id)
            return job if condition(job) else None

        job = eventually(check, lambda: f"{what}: {self.get(job_id)!r}\n{self.attempts(job_id)}\n{self.logs()}")
        assert job is not None
        return job

    def until_state(self, job_id: str, *states: State) -> JobResource:
        return self.until(job_id, lambda job: job.state in states, f"{job_id} in {states}")

    def until_over(self, job_id: str) -> JobResource:
        return self.until_state(job_id, *TERMINAL)

    def until_iteration(self, job_id: str, iteration: int) -> JobResource:
        return self.until(job_id, lambda job: job.progress.iteration >= iteration, f"iteration {iteration}")

    def until_at_work(self, worker: subprocess.Popen[bytes]) -> tuple[str, int]:
        """The job and the attempt that a worker is in the first half of, once it is."""
        query = sa.select(jobs.c.id, jobs.c.attempt).where(
            jobs.c.state == State.RUNNING,
            jobs.c.worker_id.like(f"%-{worker.pid}-%"),
            jobs.c.iteration.between(1, jobs.c.iterations / 2),
        )

        def look() -> sa.Row[tuple[str, int]] | None:
            with read(self.engine) as connection:
                return connection.execute(query).first()

        row = eventually(look, f"worker {worker.pid} is within a job")
        assert row is not None
        return row.id, row.attempt

    def attempts(self, job_id: str) -> list[sa.RowMapping]:
        with read(self.engine) as connection:
            query = attempts.select().where(attempts.c.job_id == job_id).order_by(attempts.c.attempt)
            return list(connection.execute(query).mappings())

    def notes(self, job_id: str) -> list[str]:
        query = events.select().where(events.c.job_id == job_id, events.c.type == "note").order_by(events.c.seq)
        with read(self.engine) as connection:
            return [row["data"]["message"] for row in connection.execute(query).mappings()]

    def assert_succeeded_exactly(self, job_id: str) -> JobResource:
        """The job ended as if nothing had ever interrupted it."""
        job = self.until_over(job_id)
        assert job.state is State.SUCCEEDED, (job.error, self.logs())
        losses = expected(job.spec)
        columns = queries.iterations(self.engine, job_id, limit=len(losses) + 1)
        assert columns.iteration == list(range(1, len(losses) + 1)), "a gap or a double"
        assert columns.upper_loss == losses
        assert job.result is not None
        assert job.result["lam"] == losses[-1]
        self.assert_snapshots_are_whole(job_id, job.spec)
        return job

    def assert_snapshots_are_whole(self, job_id: str, spec: JobSpec) -> None:
        """λ from the start to the end, as it was, and detail in the newest snapshot alone."""
        with read(self.engine) as connection:
            query = hyperparameters.select().where(hyperparameters.c.job_id == job_id)
            rows = connection.execute(query.order_by(hyperparameters.c.iteration)).all()
        losses = [0.3 + spec.solver.seed / 1000, *expected(spec)]
        assert [rows[0].iteration, rows[-1].iteration] == [0, spec.stop.iterations]
        assert [row.summary["values"] for row in rows] == [
            [pytest.approx(losses[row.iteration], rel=1e-6), row.iteration] for row in rows
        ]
        for before, after in pairwise(row.iteration for row in rows):
            assert 0 < after - before <= stretch(after) + 5  # the tiny runner reports five at a time
        assert [row.detail is not None for row in rows] == [False] * (len(rows) - 1) + [True]

    def assert_history_is_sound(self, job_ids: Iterable[str]) -> None:
        """Event numbers leave nothing out, attempts only grow, and nothing follows a terminal state but a retry."""
        with read(self.engine) as connection:
            for job_id in job_ids:
                rows = connection.execute(events.select().where(events.c.job_id == job_id).order_by(events.c.seq)).all()
                assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
                assert [row.attempt for row in rows] == sorted(row.attempt for row in rows)
                states = [(row.data["state"], row.data.get("by")) for row in rows if row.type == "state"]
                for (before, _), (_, by) in pairwise(states):
                    assert State(before) not in TERMINAL or by == "retry", states
                numbers = connection.execute(
                    sa.select(iterations.c.iteration).where(iterations.c.job_id == job_id).order_by("iteration")
                ).scalars()
                numbers = list(numbers)
                assert numbers == list(range(1, len(numbers) + 1))
                row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one()
                assert row.last_event == len(rows)


def freeze(service: Service, pid: int) -> None:
    """Stop a process between two transactions: in the middle of one, it would keep SQLite's only lock for ever."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: _has_stopped(pid), "the process stops")
        if service.engine.dialect.name != "sqlite":
            return
        with sqlite3.connect(str(service.engine.url.database), timeout=0.2, isolation_level=None) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                continue
            connection.execute("ROLLBACK")
            return


def _has_stopped(pid: int) -> bool:
    """Whether every thread of the process has: a signal takes a moment, in which one may begin a transaction."""
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            if file.read_text().rpartition(")")[2].split()[0] not in "TZX":
                return False
    return True


def children_of(pid: int) -> list[int]:
    """The processes that ``pid`` has started and that live."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            found += [int(child) for child in task.read_text().split()]
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
