"""What carries experiments on: notes the trials that ended, stops poor ones, makes the next ones.

Any number of processes may do it at once. A step looks, thinks outside of any transaction, and then writes all that
follows in one, if the experiment is still at the version that it looked at. A trial is made together with its job in
that transaction, so a process that dies at any point has made both or neither.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from pydantic import ValidationError

from hposvc.access.tenants import QuotaExceeded
from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.tables import experiment_trials, experiments
from hposvc.experiments import outcome, plans, sampling, trials
from hposvc.experiments.events import Event, add_events
from hposvc.experiments.trials import OpenTrial, Trial
from hposvc.failpoints import failpoint
from hposvc.jobs.service import IllegalTransition, JobNotFound, Jobs
from hposvc.schema.experiment_spec import ExperimentSpec, Parameters, RepeatsPlan, SearchPlan
from hposvc.schema.experiments import ENDED, ExperimentState
from hposvc.schema.numbers import to_json
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import State
from hposvc.tables.defects import DataError
from hposvc.webhooks import outbox

log = logging.getLogger(__name__)

UNDER_WAY = [state for state in ExperimentState if state not in ENDED]


@dataclass(frozen=True)
class Seen:
    """An experiment at one moment."""

    row: sa.RowMapping
    spec: ExperimentSpec
    open: list[OpenTrial]
    before: list[Trial]  # the open ones as they were kept, in order
    trials: list[Trial]  # all, as they are now
    in_time: bool


@dataclass(frozen=True)
class New:
    """A trial that is to be made; without ``job`` its values were refused, for the reason in ``error``."""

    number: int
    parameters: Parameters
    job: JobSpec | None
    error: str = ""


@dataclass(frozen=True)
class Step:
    """What is to be written."""

    changed: list[Trial] = field(default_factory=list)
    new: list[New] = field(default_factory=list)


class Advancing:
    """Carries the experiments of a database on; ``jobs`` is how their jobs are made and steered."""

    def __init__(self, engine: sa.Engine, jobs: Jobs) -> None:
        self._engine = engine
        self._jobs = jobs

    def advance(self) -> None:
        """Carry each experiment that is under way on by one step. One that cannot be holds up no other."""
        query = sa.select(experiments.c.id).where(experiments.c.state.in_(UNDER_WAY)).order_by(experiments.c.created_at)
        with read(self._engine) as connection:
            ids = connection.execute(query).scalars().all()
        for experiment_id in ids:
            try:
                self._advance(experiment_id)
            except sa.exc.SQLAlchemyError:
                raise  # the database is away, for all of them
            except Exception:
                log.exception("experiment %s cannot be carried on", experiment_id)

    def _advance(self, experiment_id: str) -> None:
        with read(self._engine) as connection:
            seen = _look(connection, experiment_id)
        if seen is None:
            return
        if seen.row["asked"] is not None:
            self._tell(seen)
        step = self._next(seen)
        if self._write(seen, step):
            self._stop_pruned(seen, step)

    def _tell(self, seen: Seen) -> None:
        """Tell the open jobs what was asked of the experiment. Told twice is told once."""
        told = [
            self._ask(each.trial.job_id, seen.row["asked"], seen.row["tenant_id"])
            for each in seen.open
            if each.trial.job_id is not None
        ]
        failpoint("experiment.told")
        if not all(told):
            return  # the next step tells them again
        mine = (experiments.c.id == seen.row["id"], experiments.c.version == seen.row["version"])
        with write(self._engine) as connection:
            connection.execute(experiments.update().where(*mine).values(asked=None))

    def _stop_pruned(self, seen: Seen, step: Step) -> None:
        """Cancel the jobs of the trials that are pruned, now or by a step that died here, unless that was done."""
        now_pruned = {trial.number for trial in step.changed if trial.pruned}
        for each in seen.open:
            pruned = each.trial.pruned or each.trial.number in now_pruned
            if pruned and each.trial.job_id is not None and each.job_state is not State.CANCELLING:
                self._ask(each.trial.job_id, "cancel", seen.row["tenant_id"])

    def _ask(self, job_id: str, what: str, tenant: str) -> bool:
        """Whether the job has been told, or need not be; not if it waits for a place in the quota."""
        act = {"cancel": self._jobs.cancel, "pause": self._jobs.pause, "resume": self._jobs.resume}[what]
        with contextlib.suppress(IllegalTransition, JobNotFound):  # it has ended, or its owner deleted it
            try:
                act(job_id, tenant=tenant)
            except QuotaExceeded:
                return False
        return True

    def _next(self, seen: Seen) -> Step:
        kept = {trial.number: trial for trial in seen.before}
        poor: set[int] = set()
        if isinstance(seen.spec.plan, SearchPlan) and any(
            trial.is_open and len(trial.curve) > len(kept[trial.number].curve) for trial in seen.trials
        ):
            looked = {trial.number: len(trial.curve) for trial in seen.before}
            poor = sampling.poor(seen.spec.plan, seen.trials, looked)
        now_open = [
            replace(trial, pruned=trial.pruned or trial.number in poor) for trial in seen.trials if trial.number in kept
        ]
        return Step([trial for trial in now_open if trial != kept[trial.number]], self._new(seen))

    def _new(self, seen: Seen) -> list[New]:
        """The trials that there is room for."""
        if seen.row["state"] != ExperimentState.RUNNING or not seen.in_time:
            return []
        still = [trial.number for trial in seen.trials if trial.is_open]
        made, past = seen.row["made"], list(seen.trials)
        limit = min(seen.row["planned"], made + seen.spec.at_once - len(still))
        if plans.is_adaptive(seen.spec) and still:
            limit = min(limit, still[0] + seen.spec.at_once)  # so that what it is drawn from has ended
        found = []
        for number in range(made, limit):
            parameters = _parameters(seen.spec, number, past)
            found.append(self._checked(seen, number, parameters))
            past.append(Trial(number, parameters))
        return found

    def _checked(self, seen: Seen, number: int, parameters: Parameters) -> New:
        try:
            job = plans.job_of_trial(seen.spec, number, parameters)
            return New(number, parameters, self._jobs.check(job, tenant=seen.row["tenant_id"])[0])
        except ValidationError as error:
            return New(number, parameters, None, "; ".join(item["msg"] for item in error.errors(include_url=False)))
        except DataError as error:
            return New(number, parameters, None, str(error))

    def _write(self, seen: Seen, step: Step) -> bool:
        """Whether it was written: not if another process was quicker, or somebody asked for something."""
        row = seen.row
        with write(self._engine) as connection:
            mine = (experiments.c.id == row["id"], experiments.c.version == row["version"])
            if connection.execute(sa.select(experiments.c.id).where(*mine).with_for_update()).first() is None:
                return False
            for trial in step.changed:
                _keep(connection, row["id"], trial)
            values, made = self._make(connection, seen, step.new)
            values |= {"ended": row["ended"] + sum(not trial.is_open for trial in step.changed) + values["ended"]}
            if not seen.in_time and row["state"] == ExperimentState.RUNNING:
                values |= {"planned": row["made"]}
            values |= _conclusion(connection, seen, {**row, **values})
            changes = {
                name: value
                for name, value in values.items()
                if isinstance(value, sa.ColumnElement) or value != row[name]
            }
            if changes:
                changes |= {"version": experiments.c.version + 1}
                connection.execute(experiments.update().where(*mine).values(changes))
            add_events(connection, row["id"], [*_ended(step), *made, *_changed(row, values)])
            if values.get("state", row["state"]) in ENDED:
                outbox.experiment_ended(connection, row["id"])
            failpoint("experiment.before_commit")
        failpoint("experiment.committed")
        return True

    def _make(self, connection: sa.Connection, seen: Seen, new: Sequence[New]) -> tuple[dict[str, object], list[Event]]:
        """Make trials with their jobs, as many as the quotas allow; returns columns that follow, and events."""
        notice, refused, happened = None, 0, list[Event]()
        for each in new:
            job_id, error = None, each.error
            if each.job is not None:
                try:
                    job_id = self._jobs.insert(
                        connection,
                        each.job,
                        tenant=seen.row["tenant_id"],
                        traceparent=seen.row["traceparent"],
                        experiment_id=seen.row["id"],
                    )
                except QuotaExceeded as quota:
                    notice = f"the next trial waits: {quota}"
                    break
                except DataError as gone:
                    error = str(gone)
            values = {"experiment_id": seen.row["id"], "number": each.number, "parameters": each.parameters}
            if job_id is None:
                values |= {"state": "refused", "summary": {"error": error}, "ended_at": now()}
                refused += 1
            connection.execute(experiment_trials.insert().values(**values, job_id=job_id))
            about = {"state": "refused", "error": error} if job_id is None else {"state": "queued", "job": job_id}
            happened.append(Event("trial", {"number": each.number, **about}))
        return {"made": seen.row["made"] + len(happened), "ended": refused, "notice": notice}, happened


def _ended(step: Step) -> list[Event]:
    """The trials that have ended, each with its value, or with the reason why it has none."""
    happened = []
    for each in step.changed:
        if not each.is_open:
            found = {"value": each.value, "error": each.summary.get("error")}
            known = {name: value for name, value in found.items() if value is not None}
            about = {"number": each.number, "state": each.state, "job": each.job_id}
            happened.append(Event("trial", to_json(about | known)))
    return happened


def _changed(row: sa.RowMapping, values: Mapping[str, object]) -> list[Event]:
    """What else a person wants to know of ``values``, which follow those in ``row``."""
    happened = []
    if values["notice"] is not None and values["notice"] != row["notice"]:
        happened.append(Event("note", {"message": values["notice"]}))
    if values.get("state", row["state"]) != row["state"]:
        happened.append(Event("state", {"state": values["state"]}))
    return happened


def _parameters(spec: ExperimentSpec, number: int, past: Sequence[Trial]) -> Parameters:
    if isinstance(spec.plan, SearchPlan):
        return sampling.ask(spec.plan, number, past, spec.at_once)
    return plans.fixed_parameters(spec, number)


def _look(connection: sa.Connection, experiment_id: str) -> Seen | None:
    query = sa.select(experiments, now().label("now")).where(experiments.c.id == experiment_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    spec = ExperimentSpec.model_validate(row["spec"])
    # Another process may make trials between two queries: they belong to a later version than the row's.
    open_ = [each for each in trials.open_(connection, experiment_id) if each.trial.number < row["made"]]
    before = [each.trial for each in open_]
    current = {each.trial.number: trials.advanced(connection, each) for each in open_}
    needs_all = isinstance(spec.plan, SearchPlan) and (plans.is_adaptive(spec) or spec.plan.pruner != "none")
    made = trials.all_(connection, experiment_id) if needs_all else before
    kept = [trial for trial in made if trial.number < row["made"]]
    minutes = spec.plan.minutes if isinstance(spec.plan, SearchPlan) else None
    in_time = minutes is None or row["now"] < row["created_at"] + 60 * minutes
    return Seen(row, spec, open_, before, [current.get(trial.number, trial) for trial in kept], in_time)


def _keep(connection: sa.Connection, experiment_id: str, trial: Trial) -> None:
    values = {"curve": trial.curve, "pruned": trial.pruned}
    if not trial.is_open:
        values |= {"state": trial.state, "value": trial.value, "summary": to_json(trial.summary), "ended_at": now()}
    table = experiment_trials
    mine = (table.c.experiment_id == experiment_id, table.c.number == trial.number)
    connection.execute(table.update().where(*mine).values(values))


def _conclusion(connection: sa.Connection, seen: Seen, row: dict[str, object]) -> dict[str, object]:
    """The columns that follow from the trials that have ended: the best one, and when all have, state and result."""
    if row["ended"] == seen.row["ended"] and row["made"] != row["ended"]:
        return {}
    kept = trials.all_(connection, seen.row["id"])
    best = None if isinstance(seen.spec.plan, RepeatsPlan) else outcome.best_of(kept)
    values: dict[str, object] = {
        "best_trial": None if best is None else best.number,
        "best_value": None if best is None else best.value,
    }
    is_cancelled = seen.row["state"] == ExperimentState.CANCELLING
    if row["made"] != row["ended"] or not (is_cancelled or row["made"] == row["planned"]):
        return values
    succeeded = any(trial.state == "succeeded" for trial in kept)
    state = ExperimentState.SUCCEEDED if succeeded else ExperimentState.FAILED
    return values | {
        "state": ExperimentState.CANCELLED if is_cancelled else state,
        "result": to_json(outcome.result(seen.spec, kept).model_dump()),
        "notice": None,
        "finished_at": now(),
    }
