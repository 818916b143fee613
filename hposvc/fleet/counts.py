"""The service in numbers: what the database knows of jobs, queue and workers, cheaply enough to be asked often."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.engine import read
from hposvc.db.tables import jobs, workers
from hposvc.fleet.workers import LIVE_SECONDS
from hposvc.fleet.workers import totals as counters
from hposvc.schema.states import HELD, State


@dataclass(frozen=True)
class Waiting:
    """The queued jobs with one need: how many, and for how many seconds the oldest has waited since it was queued."""

    jobs: int
    oldest_seconds: float


@dataclass(frozen=True)
class Counts:
    """One count of everything. ``workers`` by state, where ``silent`` ones were not heard of lately; ``overdue`` jobs
    are held by workers whose lease has run out; ``held`` counts those that workers have in hand by what they need;
    ``offers`` counts live workers by what they offer; ``totals`` are what the workers have counted, by name.
    """

    jobs: dict[str, int]
    waiting: dict[str, Waiting]
    held: dict[str, int]
    workers: dict[str, int]
    offers: dict[str, int]
    overdue: int
    totals: dict[str, int]
    database_bytes: int


def take(engine: sa.Engine) -> Counts:
    """Count. Lists of live jobs come from an index on the state; finished ones are counted within that index."""
    with read(engine) as connection:
        by_state = connection.execute(sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)).all()
        queued = connection.execute(
            sa.select(jobs.c.needs, sa.func.count(), now() - sa.func.min(jobs.c.queued_at))
            .where(jobs.c.state == State.QUEUED)
            .group_by(jobs.c.needs)
        ).all()
        held = connection.execute(
            sa.select(jobs.c.needs, sa.func.count()).where(jobs.c.state.in_(HELD)).group_by(jobs.c.needs)
        ).all()
        overdue = connection.execute(
            sa.select(sa.func.count()).where(jobs.c.state.in_(HELD), jobs.c.lease_until < now())
        ).scalar_one()
        silent = workers.c.heartbeat_at < now() - LIVE_SECONDS
        crew = connection.execute(
            sa.select(sa.case((silent, "silent"), else_=workers.c.state).label("state"), workers.c.offers)
        ).all()
        totals = counters(connection)
        size = connection.execute(_size(connection)).scalar_one()
    states, offers = dict.fromkeys(("compiling", "ready", "busy", "draining", "silent"), 0), dict[str, int]()
    for worker in crew:
        states[worker.state] += 1
        for name in worker.offers if worker.state != "silent" else ():
            offers[name] = offers.get(name, 0) + 1
    return Counts(
        jobs=dict.fromkeys(State, 0) | {State(state): count for state, count in by_state},
        waiting={needs: Waiting(count, max(0.0, oldest)) for needs, count, oldest in queued},
        held=dict(held),
        workers=states,
        offers=offers,
        overdue=overdue,
        totals=totals,
        database_bytes=size,
    )


def _size(connection: sa.Connection) -> sa.TextClause:
    if connection.dialect.name == "sqlite":
        return sa.text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
    return sa.text("SELECT pg_database_size(current_database())")
