"""Reading: experiments and their trials as resources."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from hposvc.db.engine import read
from hposvc.db.tables import DEFAULT_TENANT, DELETED, datasets, experiment_events, experiment_trials, experiments, jobs
from hposvc.experiments import trials
from hposvc.experiments.errors import ExperimentNotFound
from hposvc.jobs.queries import Position
from hposvc.schema.experiment_spec import ExperimentSpec
from hposvc.schema.experiments import (
    BestTrial,
    ExperimentEvent,
    ExperimentEventPage,
    ExperimentLinks,
    ExperimentPage,
    ExperimentResource,
    ExperimentResult,
    ExperimentState,
    TrialCounts,
    TrialPage,
    TrialResource,
)
from hposvc.schema.paging import InvalidPageToken, decode_page, encode_page, how_many_fit


def get(engine: sa.Engine, experiment_id: str, *, tenant: str = DEFAULT_TENANT) -> ExperimentResource:
    """One experiment. Raises ExperimentNotFound."""
    with read(engine) as connection:
        return get_in(connection, experiment_id, tenant=tenant)


def get_in(connection: sa.Connection, experiment_id: str, *, tenant: str) -> ExperimentResource:
    """``get`` within a transaction of the caller."""
    row = connection.execute(_with_best().where(*_mine(experiment_id, tenant))).mappings().first()
    if row is None:
        raise ExperimentNotFound(experiment_id)
    return _resource(row)


def spec_and_trials(
    engine: sa.Engine, experiment_id: str, *, tenant: str = DEFAULT_TENANT
) -> tuple[ExperimentSpec, list[trials.Trial]]:
    """What was asked, and what is kept of all trials. Raises ExperimentNotFound."""
    with read(engine) as connection:
        spec = get_in(connection, experiment_id, tenant=tenant).spec
        return spec, trials.all_(connection, experiment_id)


def list_(
    engine: sa.Engine,
    *,
    tenant: str = DEFAULT_TENANT,
    state: ExperimentState | None = None,
    limit: int = 50,
    page_token: str | None = None,
) -> ExperimentPage:
    """A page of experiments without their results, the newest first. Raises InvalidPageToken."""
    keys = (experiments.c.created_at, experiments.c.id)
    query = _with_best().where(experiments.c.tenant_id == tenant)
    if state is not None:
        query = query.where(experiments.c.state == state)
    if page_token is not None:
        query = query.where(sa.tuple_(*keys) < sa.tuple_(*_keys(page_token)))
    query = query.order_by(*(key.desc() for key in keys)).limit(limit + 1)
    with read(engine) as connection:
        found = connection.execute(query).mappings().all()
    fitting = found[: min(limit, how_many_fit(row["spec_bytes"] for row in found))]
    last = fitting[-1] if len(found) > len(fitting) else None
    return ExperimentPage(
        items=[_resource(row).model_copy(update={"result": None}) for row in fitting],
        next_page=None if last is None else encode_page(last["created_at"], last["id"]),
    )


def trials_page(
    engine: sa.Engine,
    experiment_id: str,
    *,
    tenant: str = DEFAULT_TENANT,
    limit: int = 1000,
    page_token: str | None = None,
) -> TrialPage:
    """A page of the trials of an experiment, in order. Raises ExperimentNotFound, InvalidPageToken."""
    table = experiment_trials
    after = -1 if page_token is None else _number(page_token)
    there = sa.and_(jobs.c.id == table.c.job_id, jobs.c.tenant_id != DELETED)
    query = (
        sa.select(table, jobs.c.state.label("job_state"), jobs.c.iteration, jobs.c.iterations)
        .select_from(table.outerjoin(jobs, there))
        .where(table.c.experiment_id == experiment_id, table.c.number > after)
        .order_by(table.c.number)
        .limit(limit + 1)
    )
    with read(engine) as connection:
        _assert_exists(connection, experiment_id, tenant)
        rows = connection.execute(query).mappings().all()
    items = [_trial(row) for row in rows[:limit]]
    return TrialPage(items=items, next_page=encode_page(items[-1].number) if len(rows) > limit else None)


def position(
    engine: sa.Engine, experiment_id: str, *, tenant: str = DEFAULT_TENANT
) -> tuple[Position, ExperimentState]:
    """Where the experiment is now, to notice when it no longer is, and its state. Raises ExperimentNotFound."""
    query = sa.select(experiments.c.version, experiments.c.last_event, experiments.c.state)
    with read(engine) as connection:
        row = connection.execute(query.where(*_mine(experiment_id, tenant))).first()
    if row is None:
        raise ExperimentNotFound(experiment_id)
    return Position(row.version, row.last_event), ExperimentState(row.state)


def events(
    engine: sa.Engine, experiment_id: str, *, tenant: str = DEFAULT_TENANT, after: int = 0, limit: int = 1000
) -> ExperimentEventPage:
    """The history after event ``after``, at most ``limit`` events. Raises ExperimentNotFound."""
    table = experiment_events
    query = table.select().where(table.c.experiment_id == experiment_id, table.c.seq > after)
    with read(engine) as connection:
        _assert_exists(connection, experiment_id, tenant)
        rows = connection.execute(query.order_by(table.c.seq).limit(limit)).mappings().all()
    items = [ExperimentEvent(seq=row["seq"], at=_time(row["at"]), type=row["type"], data=row["data"]) for row in rows]
    return ExperimentEventPage(items=items, next_after=items[-1].seq if items else after)


def _assert_exists(connection: sa.Connection, experiment_id: str, tenant: str) -> None:
    if connection.execute(sa.select(experiments.c.id).where(*_mine(experiment_id, tenant))).first() is None:
        raise ExperimentNotFound(experiment_id)


def _trial(row: sa.RowMapping) -> TrialResource:
    trial = trials.of(row)
    summary = trial.summary
    tuned: dict[str, Any] = next((model for model in summary.get("models", []) if model["name"] == "tuned"), {})
    return TrialResource.model_validate(
        {
            "number": trial.number,
            "parameters": trial.parameters,
            "job": trial.job_id,
            "state": trial.state or row["job_state"] or "cancelled",
            "value": trial.value,
            "iteration": summary.get("iteration", row["iteration"] or 0),
            "iterations": summary.get("iterations", row["iterations"] or 0),
            "curve": trial.curve,
            "test_score": tuned.get("test_score"),
            "test_loss": tuned.get("test_loss"),
            "seconds": summary.get("seconds"),
            "error": summary.get("error"),
        }
    )


def _with_best() -> sa.Select[Any]:
    table = experiment_trials
    best = sa.and_(table.c.experiment_id == experiments.c.id, table.c.number == experiments.c.best_trial)
    dataset = experiments.c.spec[("job", "dataset", "id")].as_string()
    name = sa.select(datasets.c.name).where(datasets.c.id == dataset, datasets.c.tenant_id == experiments.c.tenant_id)
    columns = (
        table.c.job_id.label("best_job"),
        table.c.parameters.label("best_parameters"),
        name.correlate(experiments).scalar_subquery().label("dataset_name"),
    )
    return sa.select(experiments, *columns).select_from(experiments.outerjoin(table, best))


def _mine(experiment_id: str, tenant: str) -> tuple[sa.ColumnElement[bool], ...]:
    return experiments.c.id == experiment_id, experiments.c.tenant_id == tenant


def _resource(row: sa.RowMapping) -> ExperimentResource:
    path = f"/v1/experiments/{row['id']}"
    best = None
    if row["best_trial"] is not None:
        best = BestTrial(
            number=row["best_trial"],
            job=row["best_job"],
            value=row["best_value"],
            parameters=row["best_parameters"],
        )
    return ExperimentResource(
        id=row["id"],
        name=row["name"],
        tags=row["tags"],
        dataset_name=row["dataset_name"],
        state=ExperimentState(row["state"]),
        version=row["version"],
        trials=TrialCounts(planned=row["planned"], made=row["made"], ended=row["ended"]),
        best=best,
        notice=row["notice"],
        result=ExperimentResult.model_validate(row["result"]) if row["result"] else None,
        created_at=_time(row["created_at"]),
        finished_at=_time(row["finished_at"]) if row["finished_at"] else None,
        spec=ExperimentSpec.model_validate(row["spec"]),
        links=ExperimentLinks(
            self=path,
            trials=f"{path}/trials",
            events=f"{path}/events",
            jobs=f"/v1/jobs?experiment={row['id']}",
            dashboard=f"/experiments/{row['id']}",
        ),
    )


def _keys(token: str) -> tuple[float, str]:
    match decode_page(token):
        case [float() | int() as created_at, str() as experiment_id] if not isinstance(created_at, bool):
            return created_at, experiment_id
    raise InvalidPageToken


def _number(token: str) -> int:
    match decode_page(token):
        case [int() as number] if not isinstance(number, bool):
            return number
    raise InvalidPageToken


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
