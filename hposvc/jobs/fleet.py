"""What workers say about themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from hposvc.db.engine import write
from hposvc.db.tables import now, workers

WorkerState = Literal["compiling", "ready", "busy", "draining"]


@dataclass(frozen=True)
class WorkerReport:
    """A worker as it is now."""

    id: str
    host: str
    device: str
    versions: dict[str, str]
    state: WorkerState
    job_id: str | None = None
    progress_message: str | None = None


def beat(engine: sa.Engine, report: WorkerReport) -> None:
    """Keep the report, with the time of the database."""
    values = asdict(report) | {"heartbeat_at": now()}
    dialect = sqlite if engine.dialect.name == "sqlite" else postgresql
    with write(engine) as connection:
        connection.execute(
            dialect.insert(workers).values(values).on_conflict_do_update(index_elements=["id"], set_=values)
        )


def leave(engine: sa.Engine, worker_id: str) -> None:
    """Take a worker that ends off the list."""
    with write(engine) as connection:
        connection.execute(workers.delete().where(workers.c.id == worker_id))
