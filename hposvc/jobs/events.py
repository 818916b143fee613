"""Small writes that every change of a job shares: its row, its history, its next delivery."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.tables import events, jobs
from hposvc.schema.states import TERMINAL, State
from hposvc.webhooks import outbox


def change_of_state(state: State) -> dict[str, Any]:
    """The columns of ``jobs`` that go with a change to ``state``."""
    values: dict[str, Any] = {"state": state, "version": jobs.c.version + 1}
    if state in TERMINAL or state in (State.QUEUED, State.PAUSED):
        values |= {"worker_id": None, "lease_until": None, "phase": None}
    if state in TERMINAL:
        values |= {"finished_at": now()}
    if state is State.QUEUED:
        values |= {"queued_at": now()}
    return values


def add_event(connection: sa.Connection, job_id: str, attempt: int, type_: str, data: dict[str, Any]) -> None:
    """Append to the history of a job.

    The number comes from the job's row, whose lock is kept until the commit: numbers appear in order and none is left
    out, so a reader that remembers the last one misses nothing. A job that ended is told to the tenant's webhooks.
    """
    seq = connection.execute(
        jobs.update().where(jobs.c.id == job_id).values(last_event=jobs.c.last_event + 1).returning(jobs.c.last_event)
    ).scalar_one()
    connection.execute(events.insert().values(job_id=job_id, seq=seq, attempt=attempt, type=type_, data=data))
    if type_ == "state" and data["state"] in TERMINAL:
        outbox.job_ended(connection, job_id, data["state"])
