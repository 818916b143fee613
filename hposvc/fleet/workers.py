"""What workers say about themselves, and what people ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import sqlalchemy as sa

from hposvc.copyable import Copyable
from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.tables import retired_counters, workers
from hposvc.db.upsert import upsert

WorkerState = Literal["compiling", "ready", "busy", "draining"]
Request = Literal["drain", "leave"]  # finish the job under way and end; hand it back and end

FORGET_SECONDS = 3600.0
LIVE_SECONDS = 30.0  # a worker says something every five; one that was silent for longer is probably gone


class WorkerNotFound(Copyable, LookupError):
    """There is no such worker. Carries ``worker_id``."""

    def __init__(self, worker_id: str) -> None:
        self.worker_id = worker_id
        super().__init__(f"there is no worker {worker_id}")


@dataclass(frozen=True)
class WorkerReport:
    """A worker as it is now. ``counters`` count from its start and only grow."""

    id: str
    host: str
    device: str
    versions: dict[str, str]
    state: WorkerState
    job_id: str | None = None
    progress_message: str | None = None
    offers: tuple[str, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)


class Fleet:
    """What changes the list of workers."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def beat(self, report: WorkerReport) -> Request | None:
        """Keep the report, with the time of the database. Returns what was asked of the worker, or None."""
        values = asdict(report) | {"offers": list(report.offers), "heartbeat_at": now()}
        with write(self._engine) as connection:
            statement = upsert(connection, workers, replace=values).values(values).returning(workers.c.asked)
            asked: Request | None = connection.execute(statement).scalar()
        return asked

    def ask(self, worker_id: str, request: Request) -> None:
        """Ask a worker to end; it sees that with its next heartbeat. Raises WorkerNotFound.

        Who was asked to leave is not asked to stay for its job afterwards.
        """
        stronger = sa.case((workers.c.asked == "leave", "leave"), else_=request)
        with write(self._engine) as connection:
            asked = connection.execute(workers.update().where(workers.c.id == worker_id).values(asked=stronger))
            if not asked.rowcount:
                raise WorkerNotFound(worker_id)

    def leave(self, worker_id: str) -> None:
        """Take a worker that ends off the list; what it counted is kept."""
        with write(self._engine) as connection:
            _retire(connection, workers.c.id == worker_id)


def forget(connection: sa.Connection) -> None:
    """Take workers off the list that were not heard of for FORGET_SECONDS; what they counted is kept."""
    _retire(connection, workers.c.heartbeat_at < now() - FORGET_SECONDS)


def totals(connection: sa.Connection) -> dict[str, int]:
    """What all workers have ever counted, as of their last heartbeats; no total ever shrinks."""
    sums: dict[str, int] = dict(connection.execute(sa.select(retired_counters.c.name, retired_counters.c.value)).all())
    for counters in connection.execute(sa.select(workers.c.counters)).scalars():
        _add(sums, counters)
    return sums


def offered(engine: sa.Engine) -> set[str]:
    """Everything that some live worker offers; those that still get ready count, those that leave do not."""
    query = sa.select(workers.c.offers).where(
        workers.c.heartbeat_at > now() - LIVE_SECONDS, workers.c.state != "draining", workers.c.asked.is_(None)
    )
    with read(engine) as connection:
        return {name for offers in connection.execute(query).scalars() for name in offers}


def _retire(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> None:
    sums: dict[str, int] = {}
    for counters in connection.execute(workers.delete().where(condition).returning(workers.c.counters)).scalars():
        _add(sums, counters)
    for name, value in sorted(sums.items()):  # in one order, so that two workers that leave do not wait for each other
        connection.execute(upsert(connection, retired_counters, add=["value"]).values(name=name, value=value))


def _add(sums: dict[str, int], counters: Mapping[str, int]) -> None:
    for name, value in counters.items():
        sums[name] = sums.get(name, 0) + value
