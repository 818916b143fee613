"""Removing finished jobs: at their owner's request, or because they are old.

A job that its owner deletes is gone for that owner at once; its files and rows follow in small steps, even after a
crash. Its rows, iterations, history, deliveries, checkpoints and artifacts go together.

Rows go first, in one transaction that also writes down which files are doomed; then the files go. Whatever dies in
between, the next call removes the files that were left.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.tables import DELETED, artifacts, doomed_files, events, experiments, iterations, jobs
from hposvc.failpoints import failpoint
from hposvc.jobs.queue import deliveries, delivery_id
from hposvc.schema.experiments import ENDED
from hposvc.schema.states import TERMINAL
from hposvc.storage.store import Store

log = logging.getLogger(__name__)

CHUNK_JOBS = 100  # in one transaction, at most
CHUNK_EXPERIMENTS = 10  # each may have thousands of trials
CHUNK_ROWS = 20_000  # iterations in one transaction, unless a single job has more
CHUNK_OF_A_JOB = 5000  # rows of one job in one transaction, so that writers of other jobs need not wait long


class Removal:
    """Removes jobs with their files in ``store``."""

    def __init__(self, engine: sa.Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def purge(self) -> int:
        """Remove files and rows of deleted jobs; how many jobs are gone. Safe to repeat and to interrupt anywhere."""
        self.clear_files()  # of a process that did not get so far
        with read(self._engine) as connection:
            ids = (
                connection.execute(sa.select(jobs.c.id).where(jobs.c.tenant_id == DELETED).limit(CHUNK_JOBS))
                .scalars()
                .all()
            )
        for job_id in ids:
            for table, order in ((iterations, iterations.c.iteration), (events, events.c.seq)):
                _remove_in_chunks(self._engine, table, order, job_id)
            self.remove(job_id)
        return len(ids)

    def remove(self, job_id: str) -> None:
        """Remove what is left of a job, whatever its state, in one transaction; then its files."""
        with write(self._engine) as connection:
            query = sa.select(jobs.c.id, jobs.c.attempt).where(jobs.c.id == job_id).with_for_update()
            _remove_rows(connection, connection.execute(query).all())
        self.clear_files()

    def expire(
        self,
        *,
        older_than: float,
        dry_run: bool = False,
        enough: Callable[[], bool] = lambda: False,
    ) -> int:
        """Remove the jobs that finished more than ``older_than`` seconds ago, in chunks; returns how many.

        Experiments that ended before that and have no job left go with their trials. ``dry_run`` only counts the
        jobs; ``enough`` is asked between chunks. Safe from several processes at once, and while jobs run.
        """
        old = (jobs.c.state.in_(TERMINAL), jobs.c.finished_at < now() - older_than)
        if dry_run:
            with read(self._engine) as connection:
                return connection.execute(sa.select(sa.func.count()).select_from(jobs).where(*old)).scalar_one()
        self.clear_files()  # of a process that did not get so far
        removed = 0
        while not enough():
            with write(self._engine) as connection:
                rows = connection.execute(
                    sa.select(jobs.c.id, jobs.c.attempt, jobs.c.iteration)
                    .where(*old)
                    .order_by(jobs.c.finished_at)
                    .limit(CHUNK_JOBS)
                    .with_for_update(skip_locked=True)
                ).all()
                chunk = list(_up_to(rows, CHUNK_ROWS))
                _remove_rows(connection, chunk)
            if not chunk:
                break
            removed += len(chunk)
            self.clear_files()
        while not enough() and _remove_experiments(self._engine, now() - older_than):
            pass
        return removed

    def clear_files(self) -> None:
        """Remove the files whose rows are gone. One that cannot be removed now is tried again by the next call."""
        while True:
            with read(self._engine) as connection:
                query = sa.select(doomed_files.c.url).order_by(doomed_files.c.doomed_at).limit(CHUNK_JOBS)
                urls = connection.execute(query).scalars().all()
            gone, kept = [], []
            for url in urls:
                try:
                    self._store.remove(url)
                except Exception as error:  # noqa: BLE001 - each kind of store raises its own
                    log.warning("%s could not be removed: %s", url, error)
                    kept.append(url)
                    continue
                _remove_empty_folders(url)
                gone.append(url)
            failpoint("retention.files_removed")
            if urls:
                with write(self._engine) as connection:
                    connection.execute(doomed_files.delete().where(doomed_files.c.url.in_(gone)))
                    behind = doomed_files.update().where(doomed_files.c.url.in_(kept)).values(doomed_at=now())
                    connection.execute(behind)  # the others', next time
            if len(gone) < CHUNK_JOBS:
                return


def _remove_in_chunks(engine: sa.Engine, table: sa.Table, order: sa.Column[int], job_id: str) -> None:
    mine = table.c.job_id == job_id
    while True:
        with write(engine) as connection:
            last = connection.execute(
                sa.select(order).where(mine).order_by(order).offset(CHUNK_OF_A_JOB - 1).limit(1)
            ).scalar()
            connection.execute(table.delete().where(mine, *([order <= last] if last is not None else [])))
        if last is None:
            return


def _remove_experiments(engine: sa.Engine, before: sa.ColumnElement[float]) -> int:
    """Remove some experiments that ended ``before`` a time and have no job left; how many. Their trials go along."""
    job = sa.exists().where(jobs.c.experiment_id == experiments.c.id)
    old = (experiments.c.state.in_(ENDED), experiments.c.finished_at < before, ~job)
    with write(engine) as connection:
        ids = connection.execute(sa.select(experiments.c.id).where(*old).limit(CHUNK_EXPERIMENTS)).scalars().all()
        connection.execute(experiments.delete().where(experiments.c.id.in_(ids)))
    return len(ids)


def _up_to(rows: Sequence[Any], limit: int) -> Iterator[Any]:
    """The first rows whose jobs have at most so many iterations together, and at least one."""
    total = 0
    for place, row in enumerate(rows):
        total += row.iteration
        if place and total > limit:
            return
        yield row


def _remove_rows(connection: sa.Connection, rows: Sequence[Any]) -> None:
    """Remove locked rows of ``jobs`` with everything that refers to them, which the foreign keys take along."""
    ids = [row.id for row in rows]
    if not ids:
        return
    urls = connection.execute(sa.select(artifacts.c.url).where(artifacts.c.job_id.in_(ids))).scalars().all()
    if urls:
        connection.execute(doomed_files.insert(), [{"url": url} for url in dict.fromkeys(urls)])
    delivered = deliveries(connection)
    names = [delivery_id(row.id, attempt) for row in rows for attempt in range(1, row.attempt + 1)]
    connection.execute(sa.delete(delivered).where(delivered.c.workflow_uuid.in_(names)))
    connection.execute(jobs.delete().where(jobs.c.id.in_(ids)))
    failpoint("retention.before_commit")


def _remove_empty_folders(url: str) -> None:
    """The folders of the attempt and of the job, where the store is a local folder."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path)).parent
        with contextlib.suppress(OSError):  # something is still in it
            folder.rmdir()
            folder.parent.rmdir()
