"""Deleting a job: for its owner it is gone at once; its files and rows follow in small steps, even after a crash."""

from __future__ import annotations

import sqlalchemy as sa

from hposvc.db.engine import read, write
from hposvc.db.tables import (
    DELETED,
    events,
    idempotency_keys,
    iterations,
    jobs,
)
from hposvc.jobs.queries import JobNotFound
from hposvc.jobs.retention import clear_files, remove
from hposvc.jobs.states import TERMINAL
from hposvc.store import Store

CHUNK = 5000  # rows of one transaction, so that writers of other jobs need not wait long
JOBS = 100


class JobNotFinished(Exception):
    """Only a job that has ended can be deleted. Carries ``state``."""

    def __init__(self, job_id: str, state: str) -> None:
        self.state = state
        super().__init__(f"cannot delete job {job_id}: it is {state}; cancel it first")


class VersionConflict(Exception):
    """The job is no longer as the caller last saw it. Carries ``version``, its present one."""

    def __init__(self, job_id: str, version: int) -> None:
        self.version = version
        super().__init__(f"job {job_id} changed in between: it is at version {version} now")


def delete(engine: sa.Engine, job_id: str, *, tenant: str, version: int | None = None) -> None:
    """Take an ended job out of its tenant's sight for good; ``purge`` removes what is left of it.

    Raises JobNotFound, JobNotFinished, and VersionConflict unless the job is at ``version``, if that is given.
    """
    mine = (jobs.c.id == job_id, jobs.c.tenant_id == tenant)
    with write(engine) as connection:
        row = connection.execute(sa.select(jobs.c.state, jobs.c.version).where(*mine).with_for_update()).first()
        if row is None:
            raise JobNotFound(job_id)
        if version is not None and version != row.version:
            raise VersionConflict(job_id, row.version)
        if row.state not in TERMINAL:
            raise JobNotFinished(job_id, row.state)
        connection.execute(idempotency_keys.delete().where(idempotency_keys.c.job_id == job_id))
        connection.execute(jobs.update().where(*mine).values(tenant_id=DELETED, version=jobs.c.version + 1))


def purge(engine: sa.Engine, store: Store) -> int:
    """Remove files and rows of deleted jobs; how many jobs are gone. Safe to repeat and to interrupt anywhere."""
    clear_files(engine, store)  # of a process that did not get so far
    with read(engine) as connection:
        ids = connection.execute(sa.select(jobs.c.id).where(jobs.c.tenant_id == DELETED).limit(JOBS)).scalars().all()
    for job_id in ids:
        for table, order in ((iterations, iterations.c.iteration), (events, events.c.seq)):
            _remove_rows(engine, table, order, job_id)
        remove(engine, store, job_id)
    return len(ids)


def _remove_rows(engine: sa.Engine, table: sa.Table, order: sa.Column[int], job_id: str) -> None:
    mine = table.c.job_id == job_id
    while True:
        with write(engine) as connection:
            last = connection.execute(sa.select(order).where(mine).order_by(order).offset(CHUNK - 1).limit(1)).scalar()
            connection.execute(table.delete().where(mine, *([order <= last] if last is not None else [])))
        if last is None:
            return
