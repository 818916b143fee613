"""How a job goes from one attempt to the next, in transactions of the caller that hold the lock of its row."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.tables import artifacts, attempts, hyperparameters, iteration_blocks, iterations, jobs
from hposvc.jobs.events import add_event, change_of_state
from hposvc.jobs.queue import Publisher
from hposvc.jobs.stored_file import CHECKPOINT, DISCARDED
from hposvc.schema.job import JobError
from hposvc.schema.numbers import to_json
from hposvc.schema.states import TERMINAL, Action, State, move


def give_back(connection: sa.Connection, publisher: Publisher, row: sa.Row[Any], data: dict[str, Any]) -> None:
    """Take the job of ``row``, whose row is locked, from its worker: it is queued for the next attempt, or at rest."""
    target = move(row.id, State(row.state), Action.RELEASE)
    values = change_of_state(target)
    attempt = row.attempt
    if target is State.QUEUED:
        attempt += 1
        values |= {"attempt": attempt}
        publisher.enqueue(
            connection, row.id, attempt, priority=row.priority, tenant=row.tenant_id, created_at=row.created_at
        )
    connection.execute(jobs.update().where(jobs.c.id == row.id).values(values))
    add_event(connection, row.id, attempt, "state", {"state": target} | data)


def lose(connection: sa.Connection, publisher: Publisher, row: sa.Row[Any], error: JobError) -> None:
    """Count the current attempt of ``row``, whose row is locked, as lost."""
    losses = row.losses + 1
    close_attempt(connection, row.id, row.attempt, {"finished_at": now(), "outcome": "lost", "message": error.message})
    add_event(connection, row.id, row.attempt, "lost", error.model_dump() | {"losses": losses})
    connection.execute(jobs.update().where(jobs.c.id == row.id).values(losses=losses))
    if losses >= row.max_attempts and move(row.id, State(row.state), Action.RELEASE) is State.QUEUED:
        connection.execute(jobs.update().where(jobs.c.id == row.id).values(error=to_json(error.model_dump())))
        move_to(connection, Action.FAIL, row, row.attempt, {"reason": error.reason})
    else:
        give_back(connection, publisher, row, {"reason": error.reason})


def begin_again(connection: sa.Connection, job_id: str) -> dict[str, Any]:
    """Forget what earlier attempts computed; returns the values for the job's row, which the caller has locked.

    The files of the checkpoints are removed by the next worker that takes the job up: it reaches the store.
    """
    for table in (iterations, iteration_blocks, hyperparameters):
        connection.execute(table.delete().where(table.c.job_id == job_id))
    connection.execute(
        artifacts.update().where(artifacts.c.job_id == job_id, artifacts.c.kind == CHECKPOINT).values(kind=DISCARDED)
    )
    latest = ("upper_loss", "hypergradient_norm", "nonfinite", "best_upper_loss", "best_iteration", "sparkline")
    return {"iteration": 0} | dict.fromkeys((*latest, "started_at", "problem_version"))


def move_to(connection: sa.Connection, action: Action, row: sa.Row[Any], attempt: int, data: dict[str, Any]) -> State:
    """Change the state of the job of ``row``, whose row is locked, and add it to the history; returns the new state."""
    target = move(row.id, State(row.state), action)
    if target != row.state:
        values = change_of_state(target)
        if target in TERMINAL:
            values |= {"worker_id": row.worker_id}  # who did it
        connection.execute(jobs.update().where(jobs.c.id == row.id).values(values))
        add_event(connection, row.id, attempt, "state", {"state": target} | data)
    return target


def close_attempt(connection: sa.Connection, job_id: str, attempt: int, values: dict[str, Any]) -> None:
    """Write how an attempt goes, or ended."""
    connection.execute(
        attempts.update().where(attempts.c.job_id == job_id, attempts.c.attempt == attempt).values(values)
    )
