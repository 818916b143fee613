"""The trials of an experiment as rows: read together with their jobs, and what is kept of those that have ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from hposvc.db.tables import DELETED, experiment_trials, jobs
from hposvc.experiments.curves import extended
from hposvc.schema.experiment_spec import Parameters
from hposvc.schema.result import Candidate, JobResult, read_result
from hposvc.schema.states import TERMINAL, State


@dataclass(frozen=True)
class Trial:
    """A trial as far as it is. ``state`` is None until it has ended."""

    number: int
    parameters: Parameters
    job_id: str | None = None
    state: str | None = None
    pruned: bool = False
    value: float | None = None
    curve: list[float] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state is None


@dataclass(frozen=True)
class OpenTrial:
    """A trial that has not ended, and its job; without ``job_state`` that was deleted."""

    trial: Trial
    job_state: State | None
    iteration: int
    iterations: int


def of(row: sa.RowMapping) -> Trial:
    """A row of ``experiment_trials``."""
    return Trial(
        row["number"],
        row["parameters"],
        row["job_id"],
        row["state"],
        row["pruned"],
        row["value"],
        row["curve"] or [],
        row["summary"] or {},
    )


def all_(connection: sa.Connection, experiment_id: str) -> list[Trial]:
    """The trials in order of their numbers."""
    table = experiment_trials
    query = table.select().where(table.c.experiment_id == experiment_id).order_by(table.c.number)
    return [of(row) for row in connection.execute(query).mappings()]


def open_(connection: sa.Connection, experiment_id: str) -> list[OpenTrial]:
    """Those that have not ended, in order of their numbers."""
    table = experiment_trials
    there = sa.and_(jobs.c.id == table.c.job_id, jobs.c.tenant_id != DELETED)
    query = (
        sa.select(table, jobs.c.state.label("job_state"), jobs.c.iteration, jobs.c.iterations)
        .select_from(table.outerjoin(jobs, there))
        .where(table.c.experiment_id == experiment_id, table.c.state.is_(None))
        .order_by(table.c.number)
    )
    return [
        OpenTrial(
            of(row),
            State(row["job_state"]) if row["job_state"] else None,
            row["iteration"] or 0,
            row["iterations"] or 1,
        )
        for row in connection.execute(query).mappings()
    ]


def advanced(connection: sa.Connection, each: OpenTrial) -> Trial:
    """The trial with what its job has recorded by now, and with its end if that has come."""
    trial = each.trial
    if each.job_state is None or trial.job_id is None:
        return replace(trial, state="cancelled", summary={"error": "its job was deleted"})
    curve = extended(connection, trial.job_id, each.iteration, each.iterations, trial.curve)
    if each.job_state not in TERMINAL:
        return replace(trial, curve=curve)
    columns = sa.select(jobs.c.result, jobs.c.error, jobs.c.best_upper_loss).where(jobs.c.id == trial.job_id)
    result, error, best = connection.execute(columns).one()
    state = "pruned" if trial.pruned and each.job_state is State.CANCELLED else str(each.job_state)
    found = read_result(result)
    value = _value(found, best) if state == "succeeded" else None
    summary = {"iteration": each.iteration, "iterations": each.iterations}
    summary |= {"error": error["message"]} if error else {}
    return replace(trial, state=state, curve=curve, value=value, summary=summary | (_summary(found) if result else {}))


def _value(found: JobResult, best_upper_loss: float | None) -> float | None:
    """What trials are compared by: see ``TrialResource.value``."""
    tuned = _tuned(found)
    lowest = None if found.selection_loss is None else found.selection_loss.best
    losses = (None if tuned is None else tuned.selection_loss, lowest, best_upper_loss)
    return next((loss for loss in losses if loss is not None and math.isfinite(loss)), None)


def _tuned(found: JobResult) -> Candidate | None:
    return next((model for model in found.models if model.name == "tuned"), None)


def _summary(found: JobResult) -> dict[str, Any]:
    """The figures of a result that are compared, a few hundred bytes."""
    kept = {"name", "label", "test_score", "test_loss", "selection_loss"}
    return {
        "score_name": found.score_name,
        "seconds": found.seconds,
        "sentence": found.sentence,
        "compared_by": "upper loss" if found.selection_loss is None and _tuned(found) is None else "selection loss",
        "by_loss": found.strengths is not None or found.score_name != "accuracy",
        "models": [model.model_dump(mode="json", include=kept) for model in found.compared],
    }
