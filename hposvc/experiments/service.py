"""What a person can do to experiments: submit, cancel, pause, resume, delete. Each is one transaction.

What follows for their jobs is done by :mod:`hposvc.experiments.advance`, whichever process comes to it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from typing import Literal

import sqlalchemy as sa

from hposvc.access.tenants import Quotas, assert_room
from hposvc.db.engine import write
from hposvc.db.tables import DEFAULT_TENANT, DELETED, experiments, jobs
from hposvc.experiments import plans, queries
from hposvc.experiments.errors import ExperimentChanged, ExperimentConflict, ExperimentNotFound, KeyReused
from hposvc.experiments.events import Event, add_events
from hposvc.failpoints import failpoint
from hposvc.jobs.service import Jobs
from hposvc.schema.experiment_spec import ExperimentSpec, RepeatsPlan
from hposvc.schema.experiments import ENDED, ExperimentResource, ExperimentState
from hposvc.tables.defects import DataError

Request = Literal["cancel", "pause", "resume"]
RUNNING, PAUSED = ExperimentState.RUNNING, ExperimentState.PAUSED
CANCELLING, CANCELLED = ExperimentState.CANCELLING, ExperimentState.CANCELLED
# (request, state) → the state after it; onto the same state it changes nothing. What is not here is refused.
MOVES: dict[Request, dict[ExperimentState, ExperimentState]] = {
    "cancel": {RUNNING: CANCELLING, PAUSED: CANCELLING, CANCELLING: CANCELLING, CANCELLED: CANCELLED},
    "pause": {RUNNING: PAUSED, PAUSED: PAUSED},
    "resume": {PAUSED: RUNNING, RUNNING: RUNNING},
}


class Experiments:
    """The experiments of a database, for those who ask. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, jobs: Jobs, *, quotas: Quotas) -> None:
        """``quotas`` are for tenants without their own."""
        self._engine = engine
        self._jobs = jobs
        self._quotas = quotas

    def check(self, spec: ExperimentSpec, *, tenant: str = DEFAULT_TENANT) -> tuple[str, ...]:
        """Check the plan, and the job against its data or problem; returns what is doubtful. Raises DataError."""
        return self._checked(spec, tenant)[1]

    def _checked(self, spec: ExperimentSpec, tenant: str) -> tuple[ExperimentSpec, tuple[str, ...]]:
        """``spec`` with the defaults of an own problem in its job, and what is doubtful."""
        plans.check(spec)
        try:
            job, notices = self._jobs.check(spec.job, tenant=tenant)
        except DataError as error:
            raise DataError([replace(each, field=f"job.{each.field}") for each in error.defects]) from None
        if job.problem is None:
            return spec, notices
        spec = spec.model_copy(update={"job": job})
        self._check_parameters(spec, tenant)
        return spec, notices

    def _check_parameters(self, spec: ExperimentSpec, tenant: str) -> None:
        """Whether an own problem takes the values of the plan, one setting at a time."""
        defects = []
        for path, setting in () if isinstance(spec.plan, RepeatsPlan) else spec.plan.parameters.items():
            for value in plans.samples(setting):
                try:
                    self._jobs.check(plans.with_parameters(spec.job, {path: value}), tenant=tenant)
                except DataError as error:
                    defects += [replace(each, field=f"plan.parameters.{path}") for each in error.defects]
                    break
        if defects:
            raise DataError(defects)

    def submit(
        self,
        spec: ExperimentSpec,
        *,
        tenant: str = DEFAULT_TENANT,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> ExperimentResource:
        """Begin an experiment. For a key that was used before, returns the experiment that it made then.

        Raises DataError if the plan does not fit the job or the job its data set, KeyReused, and QuotaExceeded; none
        of them leaves a row behind.
        """
        fingerprint = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
        spec, _ = self._checked(spec, tenant)
        document = spec.model_dump_json()
        values: dict[str, object] = {
            "id": f"exp_{secrets.token_hex(10)}",
            "tenant_id": tenant,
            "name": spec.name,
            "tags": spec.tags,
            "spec": spec.model_dump(mode="json"),
            "spec_bytes": len(document),
            "state": RUNNING,
            "planned": spec.planned,
            "idempotency_key": idempotency_key,
            "fingerprint": fingerprint,
            "traceparent": traceparent,
        }
        try:
            return self._insert(values)
        except sa.exc.IntegrityError:
            if idempotency_key is None:
                raise
            # Another request with this key committed in between; now it is there to be found.
            return self._insert(values)

    def _insert(self, values: dict[str, object]) -> ExperimentResource:
        tenant, key = str(values["tenant_id"]), values["idempotency_key"]
        with write(self._engine) as connection:
            failpoint("experiment.submit_begun")
            if key is not None:
                used = connection.execute(
                    experiments.select().where(experiments.c.tenant_id == tenant, experiments.c.idempotency_key == key)
                ).first()
                if used is not None and used.fingerprint != values["fingerprint"]:
                    raise KeyReused(str(key), used.id)
                if used is not None:
                    return queries.get_in(connection, used.id, tenant=tenant)
            assert_room(connection, tenant, int(str(values["spec_bytes"])), self._quotas)
            connection.execute(experiments.insert().values(**values))
            add_events(connection, str(values["id"]), [Event("state", {"state": RUNNING})])
            found = queries.get_in(connection, str(values["id"]), tenant=tenant)
            failpoint("experiment.submit_inserted")
        failpoint("experiment.submitted")
        return found

    def cancel(self, experiment_id: str, *, tenant: str = DEFAULT_TENANT) -> ExperimentResource:
        """Stop it for good, with all its jobs. Raises ExperimentNotFound, ExperimentConflict."""
        return self._request(experiment_id, tenant, "cancel")

    def pause(self, experiment_id: str, *, tenant: str = DEFAULT_TENANT) -> ExperimentResource:
        """Make no more trials, and pause those that run. Raises ExperimentNotFound, ExperimentConflict."""
        return self._request(experiment_id, tenant, "pause")

    def resume(self, experiment_id: str, *, tenant: str = DEFAULT_TENANT) -> ExperimentResource:
        """Go on after a pause. Raises ExperimentNotFound, ExperimentConflict."""
        return self._request(experiment_id, tenant, "resume")

    def delete(self, experiment_id: str, *, tenant: str = DEFAULT_TENANT, version: int | None = None) -> None:
        """Take an ended experiment out of its tenant's sight for good, with its jobs; their removal clears them away.

        Raises ExperimentNotFound, ExperimentConflict, and ExperimentChanged unless it is at ``version``, if that is
        given.
        """
        with write(self._engine) as connection:
            row = _locked(connection, experiment_id, tenant)
            if version is not None and version != row.version:
                raise ExperimentChanged(experiment_id, row.version)
            if row.state not in ENDED:
                raise ExperimentConflict(experiment_id, row.state, "delete", "cancel it first")
            mine = (jobs.c.experiment_id == experiment_id, jobs.c.tenant_id == tenant)
            connection.execute(jobs.update().where(*mine).values(tenant_id=DELETED, version=jobs.c.version + 1))
            connection.execute(experiments.delete().where(experiments.c.id == experiment_id))
            failpoint("experiment.delete_before_commit")

    def _request(self, experiment_id: str, tenant: str, what: Request) -> ExperimentResource:
        with write(self._engine) as connection:
            row = _locked(connection, experiment_id, tenant)
            target = MOVES[what].get(ExperimentState(row.state))
            if target is None:
                legal = " or ".join(MOVES[what])
                raise ExperimentConflict(experiment_id, row.state, what, f"that is possible while it is {legal}")
            if target != row.state:
                values = {"state": target, "asked": what, "version": experiments.c.version + 1}
                connection.execute(experiments.update().where(experiments.c.id == experiment_id).values(values))
                add_events(connection, experiment_id, [Event("state", {"state": target})])
            found = queries.get_in(connection, experiment_id, tenant=tenant)
            failpoint("experiment.request_before_commit")
        return found


def _locked(connection: sa.Connection, experiment_id: str, tenant: str) -> sa.Row[tuple[object, ...]]:
    mine = (experiments.c.id == experiment_id, experiments.c.tenant_id == tenant)
    row = connection.execute(experiments.select().where(*mine).with_for_update()).first()
    if row is None:
        raise ExperimentNotFound(experiment_id)
    return row
