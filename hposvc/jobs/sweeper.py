"""Finding what was abandoned: leases that ran out, queued jobs that nothing will deliver, workers that are gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hposvc.access.tenants import at_their_limit, places_left
from hposvc.db.clock import now
from hposvc.db.engine import write
from hposvc.db.tables import jobs
from hposvc.failpoints import failpoint
from hposvc.fleet.workers import forget
from hposvc.jobs.events import add_event, change_of_state
from hposvc.jobs.queue import Publisher, deliveries
from hposvc.jobs.transitions import lose
from hposvc.schema.job import JobError
from hposvc.schema.states import HELD, State

BATCH = 100
_ADVISORY_LOCK = 0x73776565706572  # "sweeper"


@dataclass(frozen=True)
class Swept:
    """How many jobs were taken from lost workers, and how many deliveries were made again."""

    lost: int
    undelivered: int


class Sweeper:
    """Puts back into the queue what was abandoned. ``running_jobs``: how many jobs of a tenant may run, unless it has a
    limit of its own.
    """

    def __init__(self, engine: sa.Engine, publisher: Publisher, running_jobs: int | None = None) -> None:
        self._engine = engine
        self._publisher = publisher
        self._running_jobs = running_jobs

    def sweep(self, *, grace_seconds: float) -> Swept:
        """Put abandoned jobs back into the queue. One process at a time does it; for the others it does nothing.

        A queued job counts as undelivered once it has been queued for ``grace_seconds`` and no delivery of it waits.
        Those of a tenant that has as many running as it may wait on.
        """
        with write(self._engine) as connection:
            if not _alone(connection):
                return Swept(0, 0)
            swept = Swept(
                _lost(connection, self._publisher),
                _undelivered(connection, self._publisher, grace_seconds, self._running_jobs),
            )
            forget(connection)
            failpoint("sweep.before_commit")
        return swept

    def redeliver(self, job_id: str, attempt: int) -> None:
        """Pass a delivery on to another worker, because this one leaves. A stale one is dropped."""
        with write(self._engine) as connection:
            row = connection.execute(
                jobs.select()
                .where(jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state == State.QUEUED)
                .with_for_update()
            ).first()
            if row is not None:
                _deliver_anew(connection, self._publisher, row)


def _alone(connection: sa.Connection) -> bool:
    if connection.dialect.name == "sqlite":
        return True  # BEGIN IMMEDIATE
    return bool(connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))).scalar_one())


def _lost(connection: sa.Connection, publisher: Publisher) -> int:
    rows = connection.execute(
        jobs.select()
        .where(jobs.c.state.in_(HELD), jobs.c.lease_until < now())
        .order_by(jobs.c.lease_until)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        lose(
            connection,
            publisher,
            row,
            JobError(
                reason="worker_lost",
                message=f"worker {row.worker_id} was not heard of until its lease ran out",
                remedy="See whether the machine of that worker is up and reaches the database; then retry the job.",
                iteration=row.iteration,
            ),
        )
    return len(rows)


def _undelivered(
    connection: sa.Connection, publisher: Publisher, grace_seconds: float, running_jobs: int | None
) -> int:
    """A worker that dies between taking a delivery and claiming the job leaves it queued, with nothing to come.

    So does one that finds the tenant at its limit.
    """
    delivery = deliveries(connection)
    waits = sa.exists().where(
        delivery.c.workflow_uuid == jobs.c.id + ":" + sa.cast(jobs.c.attempt, sa.String),
        delivery.c.status == "ENQUEUED",
    )
    rows = connection.execute(
        jobs.select()
        .where(jobs.c.state == State.QUEUED, jobs.c.queued_at < now() - grace_seconds, ~waits)
        .where(jobs.c.tenant_id.not_in(at_their_limit(running_jobs)))
        .order_by(jobs.c.priority.desc(), jobs.c.queued_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    places = {tenant: places_left(connection, tenant, running_jobs) for tenant in {row.tenant_id for row in rows}}
    fitting = [row for row in rows if _takes(places, row.tenant_id)]
    for row in fitting:
        _deliver_anew(connection, publisher, row)
    return len(fitting)


def _takes(places: dict[str, int | None], tenant: str) -> bool:
    """Take one of the places that the tenant has left, None being any number; whether there was one."""
    left = places[tenant]
    if left is not None:
        places[tenant] = left - 1
    return left is None or left > 0


def _deliver_anew(connection: sa.Connection, publisher: Publisher, row: sa.Row[Any]) -> None:
    """Enqueue the next attempt of a queued job: the delivery of this one is used up, or will never come."""
    attempt = row.attempt + 1
    connection.execute(
        jobs.update().where(jobs.c.id == row.id).values(change_of_state(State.QUEUED) | {"attempt": attempt})
    )
    add_event(connection, row.id, attempt, "state", {"state": State.QUEUED, "reason": "undelivered"})
    publisher.enqueue(
        connection, row.id, attempt, priority=row.priority, tenant=row.tenant_id, created_at=row.created_at
    )
