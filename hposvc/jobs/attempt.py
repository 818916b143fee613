"""What a worker writes about a job, each write behind the fence.

An attempt has a number, and every write carries it: ``WHERE attempt = :mine``, in a state that a worker holds, under a
lease that has not run out by the clock of the database. When no row matches, someone else owns the job: the write
raises ``Fenced``, and the worker must kill its runner and write nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import sqlalchemy as sa

from hposvc.access.tenants import may_run
from hposvc.datasets.stored import StoredDataset, find
from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.numbers import pack
from hposvc.db.tables import artifacts, attempts, hyperparameters, iterations, jobs
from hposvc.db.upsert import upsert
from hposvc.failpoints import failpoint
from hposvc.jobs.events import add_event
from hposvc.jobs.gain import gained
from hposvc.jobs.iterations import blocks
from hposvc.jobs.iterations.sparkline import extended
from hposvc.jobs.queries import METRICS
from hposvc.jobs.queue import Publisher
from hposvc.jobs.stored_file import CHECKPOINT, DISCARDED, StoredFile
from hposvc.jobs.transitions import close_attempt, give_back, lose, move_to
from hposvc.schema.job import JobError
from hposvc.schema.numbers import to_json
from hposvc.schema.spec import Kind
from hposvc.schema.states import HELD, Action, State
from hposvc.snapshots import Snapshot

CHECKPOINTS_KEPT = 2


class Fenced(Exception):
    """The job belongs to someone else, or its lease ran out: nothing was written."""


class Asked(NamedTuple):
    """What people ask of a job: its state, which may be a request to stop, and whether it is to finish early."""

    state: State
    finish_early: bool


class Attempt:
    """One attempt at one job, in the hands of one worker."""

    def __init__(
        self,
        engine: sa.Engine,
        publisher: Publisher,
        job_id: str,
        number: int,
        spec: dict[str, Any],
        traceparent: str | None = None,
        tenant: str | None = None,
    ) -> None:
        self._engine = engine
        self._publisher = publisher
        self.job_id = job_id
        self.number = number
        self.spec = spec
        self.traceparent = traceparent  # of the request that submitted the job
        self.tenant = tenant  # whose job it is

    def renew(self, lease_seconds: float) -> Asked:
        """Hold the job for another ``lease_seconds``. Raises Fenced."""
        with write(self._engine) as connection:
            row = self._update(connection, {"lease_until": now() + lease_seconds}, changed=False)
            failpoint("renew.before_commit")
        return Asked(State(row.state), row.finish_early)

    def outcome(self) -> str | None:
        """How this attempt ended; None as long as it goes on."""
        query = sa.select(attempts.c.outcome).where(attempts.c.job_id == self.job_id, attempts.c.attempt == self.number)
        with read(self._engine) as connection:
            outcome: str | None = connection.execute(query).scalar()
        return outcome

    def asked(self) -> Asked:
        """What people ask of the job now. Raises Fenced."""
        query = sa.select(jobs.c.state, jobs.c.finish_early).where(
            jobs.c.id == self.job_id, jobs.c.attempt == self.number, jobs.c.state.in_(HELD)
        )
        with read(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            raise Fenced(self._belongs_to_another())
        return Asked(State(row.state), row.finish_early)

    def start(self, resumed_from: int | None, problem_version: str | None = None) -> list[str]:
        """The runner took the job up, from the checkpoint of that iteration or from the start.

        ``problem_version`` is that of its own problem, if it is one.

        Returns the URLs of discarded checkpoints, which nothing refers to any more.
        """
        with write(self._engine) as connection:
            row = self._update(
                connection,
                {"started_at": sa.func.coalesce(jobs.c.started_at, now()), "problem_version": problem_version},
            )
            self._close_attempt(connection, {"resumed_from": resumed_from})
            discarded = connection.execute(
                artifacts.delete()
                .where(artifacts.c.job_id == self.job_id, artifacts.c.kind == DISCARDED)
                .returning(artifacts.c.url)
            ).scalars()
            urls = list(discarded)
            self._move(connection, Action.START, row, {"resumed_from": resumed_from})
            failpoint("start.before_commit")
        return urls

    def phase(self, phase: str) -> None:
        """Say what the runner is doing."""
        with write(self._engine) as connection:
            self._update(connection, {"phase": phase})

    def note(self, level: str, message: str) -> None:
        """Add a line to the job's history."""
        with write(self._engine) as connection:
            self._update(connection, {})
            add_event(connection, self.job_id, self.number, "note", {"level": level, "message": message})

    def record(self, rows: Sequence[Mapping[str, float | None]]) -> None:
        """Keep iterations, each with ``iteration`` and METRICS; the newest attempt's numbers replace older ones."""
        newest = rows[-1]
        finite = [row for row in rows if _is_finite(row["upper_loss"])]
        best = min(finite, key=lambda row: row["upper_loss"] or 0.0, default=None)
        with write(self._engine) as connection:
            latest = pack({name: newest[name] for name in ("upper_loss", "hypergradient_norm")})
            row = self._update(connection, latest | {"iteration": newest["iteration"]})
            self._insert_iterations(connection, rows)
            blocks.fold(connection, self.job_id, int(rows[0]["iteration"] or 0), row.iteration)
            sparkline = extended(row.sparkline, rows, row.iterations)
            if sparkline != row.sparkline:
                self._update(connection, {"sparkline": sparkline})
            if best is not None and (row.best_upper_loss is None or best["upper_loss"] < row.best_upper_loss):
                self._update(connection, {"best_upper_loss": best["upper_loss"], "best_iteration": best["iteration"]})
            failpoint("record.before_commit")
        failpoint("record.committed")

    def snapshot(self, *snapshots: Snapshot) -> None:
        """Keep λ as it was after some iterations, ascending.

        Where this attempt has been, its snapshots replace those of earlier ones. Only the newest keeps its detail, so
        that what is kept of a job stays small.
        """
        mine, number = hyperparameters.c.job_id == self.job_id, hyperparameters.c.iteration
        with write(self._engine) as connection:
            self._update(connection, {})
            previous = connection.execute(
                sa.select(sa.func.max(number)).where(
                    mine, hyperparameters.c.attempt == self.number, number < snapshots[0].iteration
                )
            ).scalar()
            passed = snapshots[0].iteration if previous is None else previous + 1
            connection.execute(hyperparameters.delete().where(mine, number.between(passed, snapshots[-1].iteration)))
            connection.execute(
                hyperparameters.update().where(mine, hyperparameters.c.detail.is_not(None)).values(detail=sa.null())
            )
            rows = [
                {"job_id": self.job_id, "iteration": snapshot.iteration, "attempt": self.number}
                | {"summary": to_json(snapshot.summary), "detail": None}
                for snapshot in snapshots
            ]
            rows[-1]["detail"] = to_json(snapshots[-1].detail)
            connection.execute(hyperparameters.insert(), rows)
            failpoint("snapshot.before_commit")

    def checkpoint(self, file: StoredFile) -> list[str]:
        """Resume from this file from now on. Returns the URLs of older checkpoints that nothing refers to any more."""
        failpoint("checkpoint.stored")
        with write(self._engine) as connection:
            self._update(connection, {})
            replaced = connection.execute(  # by an attempt that fell back behind it
                sa.select(artifacts.c.url).where(
                    artifacts.c.job_id == self.job_id, artifacts.c.name == file.name, artifacts.c.url != file.url
                )
            ).scalars()
            urls = list(replaced)
            self._keep(connection, [file])
            older = connection.execute(
                sa.select(artifacts.c.name, artifacts.c.url)
                .where(artifacts.c.job_id == self.job_id, artifacts.c.kind == CHECKPOINT)
                .order_by(artifacts.c.iteration.desc())
                .offset(CHECKPOINTS_KEPT)
            ).all()
            connection.execute(
                artifacts.delete().where(
                    artifacts.c.job_id == self.job_id, artifacts.c.name.in_([row.name for row in older])
                )
            )
            failpoint("checkpoint.before_commit")
        failpoint("checkpoint.committed")
        return urls + [row.url for row in older]

    def checkpoints(self) -> list[StoredFile]:
        """The checkpoints to resume from, newest first."""
        with read(self._engine) as connection:
            rows = connection.execute(
                artifacts.select()
                .where(artifacts.c.job_id == self.job_id, artifacts.c.kind == CHECKPOINT)
                .order_by(artifacts.c.iteration.desc())
            )
            return [StoredFile(row.name, row.kind, row.size, row.sha256, row.url, row.iteration) for row in rows]

    def datasets(self) -> list[StoredDataset]:
        """The uploaded data sets that the job names and that are still there."""
        named = self.spec.get("dataset")
        if named is None:  # an own problem
            return []
        split = named.get("split") or {}
        ids = [str(name) for name in (named["id"], split.get("validation"), split.get("test")) if name is not None]
        with read(self._engine) as connection:
            tenant = sa.select(jobs.c.tenant_id).where(jobs.c.id == self.job_id)
            return find(connection, ids, connection.execute(tenant).scalar_one())

    def succeed(self, result: dict[str, Any], files: Iterable[StoredFile]) -> None:
        """The job is done."""
        failpoint("artifacts.stored")
        with write(self._engine) as connection:
            row = self._update(connection, {"result": to_json(result)} | _gain(self.spec["kind"], result))
            # An earlier attempt may have come further before it was lost, on a device that does not repeat itself.
            connection.execute(
                iterations.delete().where(iterations.c.job_id == self.job_id, iterations.c.iteration > row.iteration)
            )
            connection.execute(
                hyperparameters.delete().where(
                    hyperparameters.c.job_id == self.job_id, hyperparameters.c.iteration > row.iteration
                )
            )
            blocks.cut(connection, self.job_id, row.iteration)
            self._keep(connection, files)
            self._close_attempt(connection, {"finished_at": now(), "outcome": "succeeded"})
            self._move(connection, Action.SUCCEED, row)
            failpoint("succeed.before_commit")
        failpoint("succeed.committed")

    def fail(self, error: JobError) -> None:
        """The job cannot be done; another attempt would end the same way."""
        with write(self._engine) as connection:
            row = self._update(connection, {"error": to_json(error.model_dump())})
            self._close_attempt(connection, {"finished_at": now(), "outcome": "failed", "message": error.message})
            self._move(connection, Action.FAIL, row, {"reason": error.reason})
            failpoint("fail.before_commit")

    def stopped(self) -> None:
        """The runner stopped because it was asked to pause or to cancel."""
        with write(self._engine) as connection:
            row = self._update(connection, {})
            target = self._move(connection, Action.STOPPED, row)
            self._close_attempt(connection, {"finished_at": now(), "outcome": target})
            failpoint("stopped.before_commit")

    def release(self) -> None:
        """Hand the job back, for another worker to go on with. It costs the job nothing."""
        with write(self._engine) as connection:
            row = self._update(connection, {})
            self._close_attempt(connection, {"finished_at": now(), "outcome": "released"})
            give_back(connection, self._publisher, row, {"by": "worker"})
            failpoint("release.before_commit")

    def lose(self, error: JobError) -> None:
        """This attempt was lost to a crash: the next one begins, or the job fails with ``error``."""
        with write(self._engine) as connection:
            row = self._update(connection, {})
            lose(connection, self._publisher, row, error)
            failpoint("lose.before_commit")

    def _update(self, connection: sa.Connection, values: dict[str, Any], *, changed: bool = True) -> sa.Row[Any]:
        """Write to the job's row if it is still ours, and lock it until the commit. Raises Fenced."""
        if changed:
            values = values | {"version": jobs.c.version + 1}
        row = connection.execute(
            jobs.update()
            .where(
                jobs.c.id == self.job_id,
                jobs.c.attempt == self.number,
                jobs.c.state.in_(HELD),
                jobs.c.lease_until > now(),
            )
            .values(values)
            .returning(jobs)
        ).first()
        if row is None:
            raise Fenced(self._belongs_to_another())
        return row

    def _belongs_to_another(self) -> str:
        return f"attempt {self.number} at job {self.job_id} is over: the job belongs to someone else now"

    def _move(
        self, connection: sa.Connection, action: Action, row: sa.Row[Any], data: dict[str, Any] | None = None
    ) -> State:
        return move_to(connection, action, row, self.number, data or {})

    def _insert_iterations(self, connection: sa.Connection, rows: Sequence[Mapping[str, float | None]]) -> None:
        connection.execute(
            upsert(connection, iterations),
            [
                {
                    "job_id": self.job_id,
                    "iteration": row["iteration"],
                    "attempt": self.number,
                    **pack({name: row[name] for name in METRICS}),
                }
                for row in rows
            ],
        )

    def _keep(self, connection: sa.Connection, files: Iterable[StoredFile]) -> None:
        for file in files:
            values = asdict(file) | {"job_id": self.job_id, "attempt": self.number}
            connection.execute(upsert(connection, artifacts).values(values))

    def _close_attempt(self, connection: sa.Connection, values: dict[str, Any]) -> None:
        close_attempt(connection, self.job_id, self.number, values)


def claim(
    engine: sa.Engine,
    publisher: Publisher,
    job_id: str,
    number: int,
    *,
    worker_id: str,
    lease_seconds: float,
    running_jobs: int | None = None,
) -> Attempt | None:
    """Take a delivery up. None when it is stale: the job was cancelled, or this attempt is not its current one.

    None, too, when the job's tenant has as many running as it may (``running_jobs`` unless it has a limit of its own):
    the job stays queued, and the sweeper delivers it anew once another one ended.
    """
    with write(engine) as connection:
        tenant = connection.execute(sa.select(jobs.c.tenant_id).where(jobs.c.id == job_id)).scalar()
        if tenant is None or not may_run(connection, tenant, running_jobs):
            return None
        row = connection.execute(
            jobs.update()
            .where(jobs.c.id == job_id, jobs.c.attempt == number, jobs.c.state == State.QUEUED)
            .values(worker_id=worker_id, lease_until=now() + lease_seconds)
            .returning(jobs)
        ).first()
        if row is None:
            return None
        connection.execute(attempts.insert().values(job_id=job_id, attempt=number, worker_id=worker_id))
        move_to(connection, Action.CLAIM, row, number, {"worker": worker_id})
        failpoint("claim.before_commit")
    failpoint("claim.committed")
    return Attempt(engine, publisher, job_id, number, row.spec, row.traceparent, row.tenant_id)


def _is_finite(value: float | None) -> bool:
    return value is not None and abs(value) < float("inf")


def _gain(kind: Kind, result: dict[str, Any]) -> dict[str, Any]:
    """The columns of ``jobs`` that say what was gained; none where that is not known."""
    found = gained(kind, result)
    return {} if found is None else found._asdict()
