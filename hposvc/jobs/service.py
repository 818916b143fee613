"""What a person can do to jobs: submit, cancel, pause, resume, retry. Each is one transaction."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import sqlalchemy as sa

from hposvc.access.tenants import Quotas, assert_may_queue
from hposvc.copyable import Copyable
from hposvc.datasets.service import Datasets
from hposvc.datasets.stored import hold
from hposvc.db.engine import write
from hposvc.db.tables import DEFAULT_TENANT, DELETED, idempotency_keys, jobs
from hposvc.failpoints import failpoint
from hposvc.fleet.problems import known
from hposvc.fleet.workers import offered
from hposvc.jobs import own_problems, queries
from hposvc.jobs.events import add_event, change_of_state
from hposvc.jobs.queries import JobNotFound
from hposvc.jobs.queue import Publisher
from hposvc.jobs.transitions import begin_again
from hposvc.schema.capabilities import ANY, unmet
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import TERMINAL, Action, IllegalTransition, State, move

__all__ = [
    "IdempotencyConflict",
    "IllegalTransition",
    "JobNotFinished",
    "JobNotFound",
    "Jobs",
    "VersionConflict",
]


NO_LIMITS = Quotas()

ASKED_TO_FINISH = "asked to finish now: no more iterations than the current one"


class IdempotencyConflict(Copyable, Exception):
    """The key was used before, for a different job. Carries ``key`` and ``job_id``."""

    def __init__(self, key: str, job_id: str) -> None:
        self.key = key
        self.job_id = job_id
        super().__init__(f"the idempotency key {key!r} belongs to job {job_id}, whose spec is different; use a new key")


class JobNotFinished(Copyable, Exception):
    """Only a job that has ended can be deleted. Carries ``state``."""

    def __init__(self, job_id: str, state: str) -> None:
        self.state = state
        super().__init__(f"cannot delete job {job_id}: it is {state}; cancel it first")


class VersionConflict(Copyable, Exception):
    """The job is no longer as the caller last saw it. Carries ``version``, its present one."""

    def __init__(self, job_id: str, version: int) -> None:
        self.version = version
        super().__init__(f"job {job_id} changed in between: it is at version {version} now")


class Jobs:
    """The jobs of a database, for those who ask. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, *, quotas: Quotas = NO_LIMITS) -> None:
        """``quotas`` are for tenants without their own."""
        self._engine = engine
        self._quotas = quotas
        self._datasets = Datasets(engine)
        self._publisher = Publisher(engine)

    def check(self, spec: JobSpec, *, tenant: str = DEFAULT_TENANT) -> tuple[JobSpec, tuple[str, ...]]:
        """Check ``spec`` against its data sets; returns what would be stored, and warnings.

        That of an own problem is checked against what workers said that it takes.

        Raises hposvc.training_data.DataError.
        """
        if spec.problem is not None:
            from hposvc.schema import cautions  # here: it loads what a process that only reads need not

            return own_problems.checked(spec, known(self._engine)), tuple(cautions.of_own_problem(spec))
        return self._datasets.check(spec, tenant=tenant)

    def submit(
        self,
        spec: JobSpec,
        *,
        tenant: str = DEFAULT_TENANT,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> JobResource:
        """Queue a job. For a key that was used before, returns the job that it made then.

        Raises DataError if the spec does not fit its dataset, IdempotencyConflict, and QuotaExceeded; none of them
        leaves a row behind.
        """
        spec, notices = self.check(spec, tenant=tenant)
        fingerprint = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()
        try:
            job = self._submit(spec, tenant, idempotency_key, fingerprint, traceparent)
        except sa.exc.IntegrityError:
            if idempotency_key is None:
                raise
            # Another request with this key committed in between; now it is there to be found.
            job = self._submit(spec, tenant, idempotency_key, fingerprint, traceparent)
        needs = spec.needs
        if job.state is State.QUEUED and needs != ANY:
            waiting = unmet(needs, offered(self._engine))
            notices = notices if waiting is None else (waiting, *notices)
        return job.model_copy(update={"notice": "\n".join(notices) or None})

    def _submit(
        self, spec: JobSpec, tenant: str, key: str | None, fingerprint: str, traceparent: str | None
    ) -> JobResource:
        with write(self._engine) as connection:
            failpoint("submit.begin")
            if key is not None:
                used = connection.execute(
                    idempotency_keys.select().where(
                        idempotency_keys.c.tenant_id == tenant, idempotency_keys.c.key == key
                    )
                ).first()
                if used is not None and used.fingerprint != fingerprint:
                    raise IdempotencyConflict(key, used.job_id)
                if used is not None:
                    return queries.get_in(connection, used.job_id, tenant=tenant)
            job_id = self.insert(connection, spec, tenant=tenant, traceparent=traceparent)
            if key is not None:
                connection.execute(
                    idempotency_keys.insert().values(tenant_id=tenant, key=key, fingerprint=fingerprint, job_id=job_id)
                )
            job = queries.get_in(connection, job_id, tenant=tenant)
        failpoint("submit.committed")
        return job

    def insert(
        self,
        connection: sa.Connection,
        spec: JobSpec,
        *,
        tenant: str,
        traceparent: str | None = None,
        experiment_id: str | None = None,
    ) -> str:
        """Queue a job in a transaction of the caller, of a spec that ``check`` returned; returns its id.

        Raises DataError if the dataset has gone, and QuotaExceeded; neither has written anything.
        """
        hold(connection, spec, tenant)
        size = len(spec.model_dump_json())
        assert_may_queue(connection, tenant, self._quotas, size=size)
        job_id = f"job_{secrets.token_hex(10)}"
        created_at = connection.execute(
            jobs.insert()
            .values(
                id=job_id,
                tenant_id=tenant,
                kind=spec.kind,
                name=spec.name,
                tags=spec.tags,
                priority=spec.priority,
                spec=spec.said(),
                dataset_id=spec.subject,
                spec_bytes=size,
                state=State.QUEUED,
                attempt=1,
                max_attempts=spec.max_attempts,
                iterations=spec.stop.iterations,
                traceparent=traceparent,
                needs=spec.needs,
                experiment_id=experiment_id,
            )
            .returning(jobs.c.created_at)
        ).scalar_one()
        add_event(connection, job_id, 1, "state", {"state": State.QUEUED})
        failpoint("submit.job_inserted")
        self._publisher.enqueue(connection, job_id, 1, priority=spec.priority, tenant=tenant, created_at=created_at)
        failpoint("submit.enqueued")
        return job_id

    def cancel(self, job_id: str, *, tenant: str = DEFAULT_TENANT) -> JobResource:
        """Stop the job for good; a worker that holds it stops first. Raises JobNotFound, IllegalTransition."""
        return self._request(job_id, tenant, Action.CANCEL)

    def pause(self, job_id: str, *, tenant: str = DEFAULT_TENANT) -> JobResource:
        """Stop the job at its next iteration, with a checkpoint. Raises JobNotFound, IllegalTransition."""
        return self._request(job_id, tenant, Action.PAUSE)

    def resume(self, job_id: str, *, tenant: str = DEFAULT_TENANT) -> JobResource:
        """Queue a paused job again, from its checkpoint. Raises JobNotFound, IllegalTransition."""
        return self._request(job_id, tenant, Action.RESUME)

    def finish(self, job_id: str, *, tenant: str = DEFAULT_TENANT) -> JobResource:
        """End the iterations after the current one, and make the result of those that are done.

        It holds for later attempts, until the job is retried. Raises JobNotFound, IllegalTransition.
        """
        return self._request(job_id, tenant, Action.FINISH)

    def retry(self, job_id: str, *, from_start: bool = False, tenant: str = DEFAULT_TENANT) -> JobResource:
        """Queue a failed or cancelled job again, with all its attempts.

        It goes on from its last checkpoint if it has one; with ``from_start``, what it has computed is forgotten.
        Raises JobNotFound, IllegalTransition.
        """
        return self._request(job_id, tenant, Action.RETRY, from_start=from_start)

    def update(
        self, job_id: str, changes: dict[str, Any], *, tenant: str = DEFAULT_TENANT, version: int | None = None
    ) -> JobResource:
        """Change the name, the tags or the priority of a job; a queued one takes the place of its new priority.

        Raises JobNotFound, and VersionConflict unless the job is at ``version``, if that is given.
        """
        mine = (jobs.c.id == job_id, jobs.c.tenant_id == tenant)
        with write(self._engine) as connection:
            row = connection.execute(jobs.select().where(*mine).with_for_update()).first()
            if row is None:
                raise JobNotFound(job_id)
            if version is not None and version != row.version:
                raise VersionConflict(job_id, row.version)
            changes = {name: value for name, value in changes.items() if value != getattr(row, name)}
            if changes:
                values = changes | {"spec": row.spec | changes, "version": jobs.c.version + 1}
                connection.execute(jobs.update().where(*mine).values(values))
            if "priority" in changes and row.state == State.QUEUED:
                self._publisher.reprioritize(connection, job_id, row.attempt, changes["priority"])
            return queries.get_in(connection, job_id, tenant=tenant)

    def delete(self, job_id: str, *, tenant: str = DEFAULT_TENANT, version: int | None = None) -> None:
        """Take an ended job out of its tenant's sight for good; ``Removal.purge`` removes what is left of it.

        Raises JobNotFound, JobNotFinished, and VersionConflict unless the job is at ``version``, if that is given.
        """
        mine = (jobs.c.id == job_id, jobs.c.tenant_id == tenant)
        with write(self._engine) as connection:
            row = connection.execute(sa.select(jobs.c.state, jobs.c.version).where(*mine).with_for_update()).first()
            if row is None:
                raise JobNotFound(job_id)
            if version is not None and version != row.version:
                raise VersionConflict(job_id, row.version)
            if row.state not in TERMINAL:
                raise JobNotFinished(job_id, row.state)
            connection.execute(idempotency_keys.delete().where(idempotency_keys.c.job_id == job_id))
            connection.execute(jobs.update().where(*mine).values(tenant_id=DELETED, version=jobs.c.version + 1))

    def _request(self, job_id: str, tenant: str, action: Action, *, from_start: bool = False) -> JobResource:
        mine = (jobs.c.id == job_id, jobs.c.tenant_id == tenant)
        with write(self._engine) as connection:
            failpoint("request.begin")
            row = connection.execute(jobs.select().where(*mine).with_for_update()).first()
            if row is None:
                raise JobNotFound(job_id)
            target = move(job_id, State(row.state), action)
            asks_to_finish = action is Action.FINISH and not row.finish_early
            if target == row.state and not asks_to_finish:
                return queries.get_in(connection, job_id, tenant=tenant)
            values = change_of_state(target) if target != row.state else {"version": jobs.c.version + 1}
            attempt = row.attempt
            if action in (Action.FINISH, Action.RETRY):
                values |= {"finish_early": action is Action.FINISH}
            data: dict[str, str] = {"state": target, "by": action}
            if target is State.QUEUED and target != row.state:
                assert_may_queue(connection, tenant, self._quotas)
                attempt += 1
                values |= {"attempt": attempt, "error": None, "finished_at": None}
                if action is Action.RETRY:
                    values |= {"losses": 0}
                if from_start:
                    values |= begin_again(connection, job_id)
                    data |= {"from": "start"}
                self._publisher.enqueue(
                    connection, job_id, attempt, priority=row.priority, tenant=row.tenant_id, created_at=row.created_at
                )
                failpoint("request.enqueued")
            connection.execute(jobs.update().where(*mine).values(values))
            if asks_to_finish:
                add_event(connection, job_id, attempt, "note", {"level": "info", "message": ASKED_TO_FINISH})
            if target != row.state:
                add_event(connection, job_id, attempt, "state", data)
            job = queries.get_in(connection, job_id, tenant=tenant)
            failpoint("request.before_commit")
        failpoint("request.committed")
        return job
