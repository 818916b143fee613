"""A random storm: many jobs, several workers, and SIGKILL for whatever runs, again and again.

    python -m tests.support.storm --kills 500 --jobs 200 --workers 3 --seed 7

Afterwards every job must have succeeded exactly as if nothing had happened: no gap and no double among its iterations,
the λ of the uninterrupted run, a history without holes. The oldest jobs come first, and are hit again and again: one
that has lost all its attempts fails, and is retried here as a person would. Who is killed and when follows from the
seed; how far the victims have come by then is up to the machine. The status is 0 when everything held.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.db.engine import read
from hposvc.db.tables import attempts, jobs
from hposvc.schema.states import HELD, State
from tests.support.harness import Service, children_of, tiny_spec
from tests.support.postgresql import PostgreSQL

LEASE = {"lease": 3.0}
MAX_ATTEMPTS = 20


def storm(service: Service, *, kills: int, n_jobs: int, n_workers: int, seed: int) -> None:
    """Kill ``kills`` processes while ``n_jobs`` jobs are done, and assert that nobody can tell."""
    chance = random.Random(seed)
    job_ids = [submit(service, chance, number) for number in range(n_jobs)]
    workers = [service.worker(**LEASE) for _ in range(n_workers)]
    killed = {"supervisor": 0, "runner": 0, "submitter": 0}
    retried = 0
    begun = time.monotonic()
    while sum(killed.values()) < kills:
        time.sleep(chance.uniform(0.05, 0.3))
        victim = chance.choices(("supervisor", "runner", "submitter"), (4, 5, 1))[0]
        if victim == "submitter":
            job_id, died = killed_while_submitting(service, chance, len(job_ids))
            job_ids.append(job_id)
            if not died:
                continue
        elif not kill_one(service, workers, victim, chance):
            continue
        killed[victim] += 1
        for index, worker in enumerate(workers):
            if worker.poll() is not None:
                workers[index] = service.worker(**LEASE)
        retried += retry_what_failed(service)
        if over(service) and sum(killed.values()) < kills:
            job_ids += [submit(service, chance, len(job_ids)) for _ in range(n_workers)]
    print(f"{sum(killed.values())} processes killed in {time.monotonic() - begun:.0f} s: {killed}", flush=True)
    deadline = time.monotonic() + 600
    while not over(service):
        assert time.monotonic() < deadline, service.logs()
        time.sleep(0.2)
        retried += retry_what_failed(service)
    for job_id in job_ids:
        service.assert_succeeded_exactly(job_id)
    service.assert_history_is_sound(job_ids)
    with read(service.engine) as connection:
        count = connection.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one()
        outcomes = connection.execute(
            sa.select(attempts.c.outcome, sa.func.count()).group_by(attempts.c.outcome).order_by(attempts.c.outcome)
        ).all()
    assert count == len(job_ids), "one idempotency key, one job"
    print(f"{count} jobs: 0 lost, 0 gaps or doubles, every λ equal; attempts: {dict(map(tuple, outcomes))}, "
          f"{retried} retried by hand", flush=True)  # fmt: skip


def submit(service: Service, chance: random.Random, number: int) -> str:
    spec = tiny_spec(
        f"slow={chance.choice((0.002, 0.01, 0.03))}",
        solver={"seed": number},
        stop={"iterations": chance.randint(20, 80)},
        checkpoint_every=chance.randint(5, 20),
        max_attempts=MAX_ATTEMPTS,
    )
    return service.jobs.submit(spec, idempotency_key=str(number)).id


def killed_while_submitting(service: Service, chance: random.Random, number: int) -> tuple[str, bool]:
    """Submit from a process that is killed at any moment of it, then submit the same again.

    Returns the one job, and whether the process died before it was done.
    """
    spec_chance = random.Random(number)
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            submit(Service(service.url, service.directory), random.Random(number), number)
        os._exit(0)
    time.sleep(chance.uniform(0.0, 0.03))
    os.kill(child, signal.SIGKILL)
    died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    return submit(service, spec_chance, number), died


def kill_one(service: Service, workers: list[subprocess.Popen[bytes]], victim: str, chance: random.Random) -> bool:
    """Kill a supervisor or a runner: mostly one that has a job, now and then any. False when there was none."""
    with read(service.engine) as connection:
        holders = connection.execute(sa.select(jobs.c.worker_id).where(jobs.c.state.in_(HELD))).scalars().all()
    holding = [worker for worker in workers if any(f"-{worker.pid}-" in holder for holder in holders)]
    if not holding and chance.random() < 0.98:
        return False
    worker = chance.choice(holding or workers)
    runners = sorted(children_of(worker.pid))  # the oldest one has the job, the other one is the spare
    if victim == "runner" and not runners:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid if victim == "supervisor" else runners[0], signal.SIGKILL)
    if victim == "supervisor":
        worker.wait()
    return True


def retry_what_failed(service: Service) -> int:
    """Retry jobs whose attempts are used up, which is the only way in which one may fail; returns how many."""
    with read(service.engine) as connection:
        failed = connection.execute(sa.select(jobs).where(jobs.c.state == State.FAILED)).all()
    for row in failed:
        assert row.error["reason"] in ("worker_lost", "runner_killed"), row.error
        assert row.losses == MAX_ATTEMPTS
        service.jobs.retry(row.id)
    return len(failed)


def over(service: Service) -> bool:
    with read(service.engine) as connection:
        waiting = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state != State.SUCCEEDED)
        return connection.execute(waiting).scalar_one() == 0


@contextlib.contextmanager
def database(kind: str, directory: Path) -> Iterator[str]:
    """A fresh, migrated database."""
    if kind == "sqlite":
        url = f"sqlite:///{directory / 'hposvc.sqlite3'}"
        migrate.upgrade(url)
        yield url
        return
    server = PostgreSQL()
    server.start()
    try:
        url = server.create("storm")
        migrate.upgrade(url)
        yield url
    finally:
        server.remove()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=30)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    options = parser.parse_args()
    for kind in options.database or ("sqlite", "postgresql"):
        print(f"storm on {kind}: --kills {options.kills} --jobs {options.jobs} --workers {options.workers} "
              f"--seed {options.seed}", flush=True)  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="hposvc-storm-") as directory, database(kind, Path(directory)) as url:
            service = Service(url, Path(directory))
            try:
                storm(service, kills=options.kills, n_jobs=options.jobs, n_workers=options.workers, seed=options.seed)
            finally:
                service.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
