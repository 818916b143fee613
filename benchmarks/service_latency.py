"""How long a person waits for an idle worker: from submission to its start, to the first iteration, and for a cancel.

    python -m benchmarks.service_latency --jobs 20 --queued 10000 [--database-url postgresql+psycopg://…]

A real worker, whose kernels are compiled by a first job, stands idle beside so many finished jobs; each job that is
measured is submitted once the one before is over. Then one runner is stopped as by SIGSTOP, and its job is cancelled:
the time until the job says so, when the runner is gone. Last, the worker is asked to leave in the middle of a job.
Times are those of the database.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from benchmarks.service_overhead import WORKER
from hposvc.db import migrate
from hposvc.db.clock import now
from hposvc.db.engine import create_engine, read, write
from hposvc.db.tables import jobs as jobs_table
from hposvc.jobs import queries
from hposvc.jobs.queue import deliveries
from hposvc.jobs.service import Jobs
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import TERMINAL, State
from hposvc.settings import Settings

SPEC = {"kind": "data_reweighting", "dataset": {"id": "sklearn:digits"}, "stop": {"iterations": 50}}
LONG = SPEC | {"stop": {"iterations": 10_000_000}}


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for it, a minute at most."""
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain: {what}")
        time.sleep(0.005)


def fill(engine: sa.Engine, jobs: Jobs, count: int) -> None:
    """So many jobs that are over."""
    for _ in range(count):
        jobs.submit(JobSpec.model_validate(SPEC))
    with write(engine) as connection:
        connection.execute(jobs_table.update().values(state=State.CANCELLED, finished_at=now()))
        connection.execute(deliveries(connection).update().values(status="SUCCESS"))


def children_of(pid: int) -> list[int]:
    """The processes that ``pid`` has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for task in tasks for child in task.read_text().split())


def summary(name: str, seconds: list[float]) -> str:
    """Median and worst."""
    return f"{name}: median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s, {len(seconds)} measured"


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--queued", type=int, default=10_000, help="finished jobs that are there already")
    parser.add_argument("--database-url")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        given = {"database_url": options.database_url} if options.database_url else {}
        settings = Settings(data_dir=Path(directory), **given)
        migrate.upgrade(settings.database_url)
        engine = create_engine(settings.database_url)
        jobs = Jobs(engine)
        fill(engine, jobs, options.queued)
        command = [sys.executable, "-c", WORKER, directory, settings.database_url]
        worker = subprocess.Popen(command)
        try:
            measure(engine, jobs, worker, options.jobs)
        finally:
            worker.kill()
            worker.wait()
        engine.dispose()
    return 0


def measure(engine: sa.Engine, jobs: Jobs, worker: subprocess.Popen[bytes], count: int) -> None:
    """Submit, wait, cancel, stop."""
    starts, firsts = [], []
    for number in range(count + 1):
        job_id = jobs.submit(JobSpec.model_validate(SPEC)).id
        until(lambda job_id=job_id: queries.get(engine, job_id).progress.iteration, "an iteration")
        with read(engine) as connection:
            first = connection.execute(sa.select(now())).scalar_one()
        until(lambda job_id=job_id: queries.get(engine, job_id).state in TERMINAL, "the job is over")
        at = {event.data.get("state"): event.at.timestamp() for event in queries.events(engine, job_id).items}
        if number:  # the first one compiles
            starts.append(at["starting"] - at["queued"])
            firsts.append(first - at["starting"])
        time.sleep(0.5 + number % 7 / 20)  # at any moment between two looks into the queue
    print(summary("an idle worker starts a job after its submission", starts), flush=True)
    print(summary("and its first iteration is in the database after that", firsts), flush=True)

    job_id = jobs.submit(JobSpec.model_validate(LONG)).id
    until(lambda: queries.get(engine, job_id).progress.iteration, "an iteration")
    runner = children_of(worker.pid)[0]
    os.kill(runner, signal.SIGSTOP)
    begun = time.monotonic()
    jobs.cancel(job_id)
    until(lambda: queries.get(engine, job_id).state is State.CANCELLED, "the job is cancelled")
    took = time.monotonic() - begun
    gone = not Path(f"/proc/{runner}").exists()
    print(f"cancelled with a runner that does not listen: {took:.1f} s, its process is {'gone' if gone else 'THERE'}")

    job_id = jobs.submit(JobSpec.model_validate(LONG)).id
    until(lambda: queries.get(engine, job_id).progress.iteration, "an iteration")
    begun = time.monotonic()
    worker.terminate()
    status = worker.wait()
    job = queries.get(engine, job_id)
    took = time.monotonic() - begun
    print(f"SIGTERM: the worker left after {took:.1f} s with status {status}; its job is {job.state}, with iteration "
          f"{job.progress.iteration}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
