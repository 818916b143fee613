from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.engine import write
from hposvc.db.tables import jobs as jobs_table
from hposvc.jobs.attempt import Attempt, claim
from hposvc.jobs.queue import Publisher
from hposvc.jobs.service import Jobs
from tests.support.harness import UncheckedJobs


@pytest.fixture
def jobs(engine: sa.Engine) -> Iterator[Jobs]:
    """The jobs of a fresh database; specs are not checked against data."""
    return UncheckedJobs(engine)


@pytest.fixture
def publisher(engine: sa.Engine) -> Publisher:
    return Publisher(engine)


@pytest.fixture
def take(engine: sa.Engine, publisher: Publisher) -> Callable[..., Attempt | None]:
    """Claim an attempt, as a worker does when a delivery comes."""

    def take(job_id: str, number: int = 1, worker: str = "worker-1", lease: float = 60.0) -> Attempt | None:
        return claim(engine, publisher, job_id, number, worker_id=worker, lease_seconds=lease)

    return take


@pytest.fixture
def expire(engine: sa.Engine) -> Callable[[str], None]:
    """Let the lease of a job run out, without waiting for it."""

    def expire(job_id: str) -> None:
        with write(engine) as connection:
            connection.execute(jobs_table.update().where(jobs_table.c.id == job_id).values(lease_until=now() - 1))

    return expire
