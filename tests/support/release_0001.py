"""A worker and an API of the release whose newest migration was 0001: its statements, frozen as text.

Runs jobs from submission to success, one after another, while somebody else upgrades the database, and holds them with
the lease of that release. Ends when its standard input does, and prints what it wrote. Any write that finds the lease
gone, and any error that the release would not have retried, ends it with status 1.

    python -m tests.support.release_0001 DATABASE_URL LEASE_SECONDS
"""

from __future__ import annotations

import json
import secrets
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import sqlalchemy as sa

from hposvc.db.engine import create_engine, write

HELD = "('starting', 'running', 'pausing', 'cancelling')"
COLUMNS = (
    "id, tenant_id, kind, name, tags, priority, spec, state, attempt, losses, max_attempts, worker_id, lease_until, "
    "phase, iteration, iterations, upper_loss, hypergradient_norm, nonfinite, best_upper_loss, best_iteration, result, "
    "error, last_event, version, traceparent, created_at, queued_at, started_at, finished_at"
)
ROWS, BATCHES = 50, 6

SUBMIT = """
INSERT INTO jobs (id, tenant_id, kind, tags, priority, spec, state, attempt, losses, max_attempts, iteration,
                  iterations, last_event, version, created_at, queued_at)
VALUES (:job, 'default', 'data_reweighting', {empty}, 0, {spec}, 'queued', 1, 0, 3, 0, :total, 0, 1, {now}, {now})"""
KEY = """
INSERT INTO idempotency_keys (tenant_id, key, fingerprint, job_id, created_at)
VALUES ('default', :job, 'f', :job, {now})"""
NUMBER = "UPDATE jobs SET last_event = last_event + 1 WHERE id = :job RETURNING last_event"
EVENT = """
INSERT INTO events (job_id, seq, at, attempt, type, data) VALUES (:job, :seq, {now}, 1, :type, {data})"""
CLAIM = """
UPDATE jobs SET worker_id = 'release-0001', lease_until = {now} + :lease, state = 'starting', version = version + 1
WHERE id = :job AND attempt = 1 AND state = 'queued' RETURNING {columns}"""
ATTEMPT = """
INSERT INTO attempts (job_id, attempt, worker_id, started_at) VALUES (:job, 1, 'release-0001', {now})"""
UPDATE = """
UPDATE jobs SET {values}, version = version + 1
WHERE id = :job AND attempt = 1 AND state IN {held} AND lease_until > {now} RETURNING {columns}"""
ITERATION = """
INSERT INTO iterations (job_id, iteration, attempt, upper_loss, hypergradient_norm, lower_loss, upper_score,
                        selection_loss, fd_relative_error, seconds, nonfinite)
VALUES (:job, :iteration, 1, :loss, 0.5, 0.5, NULL, NULL, NULL, 0.01, NULL)
ON CONFLICT (job_id, iteration) DO UPDATE SET attempt = excluded.attempt, upper_loss = excluded.upper_loss"""
CHECKPOINT = """
INSERT INTO artifacts (job_id, name, kind, size, sha256, url, iteration, attempt, created_at)
VALUES (:job, :name, 'checkpoint', 1, 's', 'file:///none', :iteration, 1, {now})
ON CONFLICT (job_id, name) DO UPDATE SET url = excluded.url"""
CLOSE = "UPDATE attempts SET finished_at = {now}, outcome = 'succeeded' WHERE job_id = :job AND attempt = 1"
BEAT = """
INSERT INTO workers (id, host, device, versions, state, started_at, heartbeat_at)
VALUES ('release-0001', 'h', 'cpu', {empty}, 'busy', {now}, {now})
ON CONFLICT (id) DO UPDATE SET heartbeat_at = {now}"""


class Release:
    """The writes of one job after another."""

    def __init__(self, url: str, lease: float) -> None:
        self.engine = create_engine(url)
        postgresql = self.engine.dialect.name == "postgresql"
        self.words = {
            "now": "extract(epoch FROM clock_timestamp())"
            if postgresql
            else "((julianday('now') - 2440587.5) * 86400.0)",
            "empty": "'{}'::jsonb" if postgresql else "'{}'",
            "spec": "CAST(:spec AS jsonb)" if postgresql else ":spec",
            "data": "CAST(:data AS jsonb)" if postgresql else ":data",
            "held": HELD,
            "columns": COLUMNS,  # by name, as SQLAlchemy writes them: a prepared "*" would not survive a new column
        }
        self.lease = lease
        self.longest = 0.0
        self.retried = 0

    def run(
        self, connection: sa.Connection, statement: str, values: str = "", **parameters: object
    ) -> sa.CursorResult[object]:
        return connection.execute(sa.text(statement.format(**self.words, values=values)), parameters)

    def ours(self, connection: sa.Connection, job: str, values: str, **parameters: object) -> None:
        """A write behind the fence."""
        if self.run(connection, UPDATE, values.format(**self.words), job=job, **parameters).first() is None:
            raise SystemExit(f"the lease on {job} ran out during the upgrade")

    def event(self, connection: sa.Connection, job: str, **data: object) -> None:
        seq = self.run(connection, NUMBER, job=job).scalar_one()
        self.run(connection, EVENT, job=job, seq=seq, type="state", data=json.dumps(data))

    @contextmanager
    def timed(self) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.longest = max(self.longest, time.monotonic() - begun)

    def transaction(self, *steps: tuple[object, ...]) -> None:
        """As the release did: again and again while the database does not answer."""
        with self.timed():
            while True:
                try:
                    with write(self.engine) as connection:
                        for method, *arguments in steps:
                            method(connection, *arguments)  # type: ignore[operator]
                except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
                    self.retried += 1
                    print(f"retried: {error.orig}", file=sys.stderr)
                    time.sleep(0.1)
                else:
                    return

    def job(self) -> str:
        job = f"job_{secrets.token_hex(10)}"
        total = ROWS * BATCHES
        self.transaction((self.submit, job, total))
        self.transaction((self.claim, job))
        self.transaction((self.ours, job, "started_at = {now}, state = 'running'"), (self.event, job))
        for batch in range(BATCHES):
            self.transaction((self.record, job, batch * ROWS + 1))
            self.transaction((self.renew, job))
            self.transaction((self.checkpoint, job, (batch + 1) * ROWS))
            time.sleep(0.02)
        self.transaction((self.succeed, job))
        return job

    def submit(self, connection: sa.Connection, job: str, total: int) -> None:
        self.run(connection, SUBMIT, job=job, total=total, spec=json.dumps({"kind": "data_reweighting"}))
        self.run(connection, KEY, job=job)
        self.event(connection, job, state="queued")

    def claim(self, connection: sa.Connection, job: str) -> None:
        assert self.run(connection, CLAIM, job=job, lease=self.lease).first() is not None
        self.run(connection, ATTEMPT, job=job)
        self.event(connection, job, state="starting")

    def record(self, connection: sa.Connection, job: str, first: int) -> None:
        self.ours(connection, job, "iteration = :last, upper_loss = :loss", last=first + ROWS - 1, loss=1.0 / first)
        for iteration in range(first, first + ROWS):
            self.run(connection, ITERATION, job=job, iteration=iteration, loss=1.0 / iteration)

    def renew(self, connection: sa.Connection, job: str) -> None:
        self.ours(connection, job, "lease_until = {now} + :lease", lease=self.lease)
        self.run(connection, BEAT)

    def checkpoint(self, connection: sa.Connection, job: str, iteration: int) -> None:
        self.ours(connection, job, "phase = 'solving'")
        self.run(connection, CHECKPOINT, job=job, name=f"checkpoint-{iteration:010d}", iteration=iteration)

    def succeed(self, connection: sa.Connection, job: str) -> None:
        self.ours(connection, job, "state = 'succeeded', finished_at = {now}")
        self.run(connection, CLOSE, job=job)
        self.run(connection, "UPDATE jobs SET lease_until = NULL WHERE id = :job", job=job)
        self.event(connection, job, state="succeeded")


def main() -> None:
    release = Release(sys.argv[1], float(sys.argv[2]))
    done = []
    for number in count(1):
        done.append(release.job())
        print(number, flush=True)
        if select.select([sys.stdin], [], [], 0)[0]:
            break
    print(json.dumps({"jobs": done, "longest": release.longest, "retried": release.retried}), flush=True)


if __name__ == "__main__":
    main()
