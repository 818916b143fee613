"""The problems that workers have installed, as they described them at their start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.tables import problems, workers
from hposvc.db.upsert import upsert
from hposvc.fleet.workers import LIVE_SECONDS
from hposvc.schema.problems import ProblemResource


@dataclass(frozen=True)
class Description:
    """A problem as a worker has it. ``fault`` says why it cannot be used there; the rest is then empty."""

    name: str
    version: str
    summary: str
    parameters: dict[str, Any]
    defaults: dict[str, Any]
    fault: str | None = None


def report(engine: sa.Engine, descriptions: Iterable[Description]) -> None:
    """Keep what a worker has found out about its problems."""
    with write(engine) as connection:
        for description in sorted(descriptions, key=lambda each: (each.name, each.version)):
            values = asdict(description) | {"reported_at": now()}
            connection.execute(upsert(connection, problems).values(values))


def known(engine: sa.Engine) -> list[ProblemResource]:
    """Every problem that a worker ever had, by name; of each the version that live workers have, or else the newest.

    Where live workers have several versions, the one that was reported last counts.
    """
    live = sa.select(workers.c.offers, workers.c.versions).where(
        workers.c.heartbeat_at > now() - LIVE_SECONDS, workers.c.state != "draining", workers.c.asked.is_(None)
    )
    with read(engine) as connection:
        crew = connection.execute(live).all()
        rows = connection.execute(problems.select().order_by(problems.c.reported_at)).mappings().all()
    chosen: dict[str, ProblemResource] = {}
    for row in rows:
        having = sum(row["name"] in w.offers and w.versions.get(row["name"]) == row["version"] for w in crew)
        values = {**row, "workers": having, "reported_at": datetime.fromtimestamp(row["reported_at"], UTC)}
        before = chosen.get(row["name"])
        if before is None or having or not before.workers:
            chosen[row["name"]] = ProblemResource(**values)
    return [chosen[name] for name in sorted(chosen)]
