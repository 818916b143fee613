"""What a person can do about the labels of a data set: decide, look at what was decided, undo.

A decision is never changed: a newer one of the same row counts instead, and undoing it lets the one before count
again. Writers of one data set wait for each other, so no two decisions get one version.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from hposvc.datasets.errors import DatasetNotFound
from hposvc.datasets.service import Datasets
from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.tables import DEFAULT_TENANT, datasets, jobs, reviews
from hposvc.failpoints import failpoint
from hposvc.reviews import confined_review, queries, versions
from hposvc.reviews.confined_review import Placed
from hposvc.reviews.errors import BatchNotFound, DecidedMeanwhile, NotReviewable
from hposvc.schema.datasets import DatasetResource
from hposvc.schema.reviews import Decided, DecisionPage, RowDecision, RowHistory, Undone
from hposvc.tables.defects import DataError, Defect


class By(NamedTuple):
    """Who decides: the tenant, the id of the key if one was shown, and the job that was looked at, if any."""

    tenant: str = DEFAULT_TENANT
    key_id: str | None = None
    job: str | None = None


class Reviews:
    """The decisions about the data sets of a database. Safe to share between threads and processes."""

    def __init__(self, engine: sa.Engine, datasets_: Datasets) -> None:
        self._engine = engine
        self._datasets = datasets_

    def decide(self, dataset_id: str, decisions: Sequence[RowDecision], by: By, *, label: str | None = None) -> Decided:
        """Keep all ``decisions``, or none.

        Raises DatasetNotFound, NotReviewable, DataError: a row, label or job that there is not; DecidedMeanwhile: the
        decision that counts is not the version that was named.
        """
        label, numbers = self._place(dataset_id, label, decisions, by)
        batch = f"rev_{secrets.token_hex(10)}"
        of_column = queries.of_column(dataset_id, label)
        with write(self._engine) as connection:
            self._hold(connection, dataset_id, by.tenant)
            known = queries.versions(connection, dataset_id, label, numbers)
            changed = [
                each.row
                for each, number in zip(decisions, numbers, strict=True)
                if each.version is not None and each.version != known.get(number, (0, 0))[1]
            ]
            if changed:
                raise DecidedMeanwhile(changed)
            values = [
                {
                    "dataset_id": dataset_id,
                    "label": label,
                    "number": number,
                    "version": known.get(number, (0, 0))[0] + 1,
                    "row_id": each.row,
                    "decision": each.decision,
                    "relabelled_to": each.relabelled_to,
                    "key_id": by.key_id,
                    "job_id": by.job,
                    "batch": batch,
                }
                for each, number in zip(decisions, numbers, strict=True)
            ]
            connection.execute(reviews.insert(), values)
            kept = {
                row["number"]: queries.decision(row)
                for row in connection.execute(queries.selected(*of_column, reviews.c.batch == batch)).mappings()
            }
            failpoint("review.before_commit")
        failpoint("review.committed")
        return Decided(batch=batch, items=[kept[number] for number in numbers])

    def undo(self, dataset_id: str, batch: str, *, tenant: str = DEFAULT_TENANT) -> Undone:
        """Let the decisions of a batch count no more, unless newer ones have replaced them; safe to repeat.

        Raises DatasetNotFound, BatchNotFound.
        """
        mine = (reviews.c.dataset_id == dataset_id, reviews.c.batch == batch)
        with write(self._engine) as connection:
            self._hold(connection, dataset_id, tenant)
            total = connection.execute(sa.select(sa.func.count()).select_from(reviews).where(*mine)).scalar_one()
            if not total:
                raise BatchNotFound(batch)
            connection.execute(reviews.update().where(*mine, queries.counts()).values(undone_at=now()))
            done = connection.execute(
                sa.select(sa.func.count()).select_from(reviews).where(*mine, reviews.c.undone_at.is_not(None))
            ).scalar_one()
            failpoint("undo.before_commit")
        failpoint("undo.committed")
        return Undone(batch=batch, undone=done, kept=total - done)

    def page(
        self,
        dataset_id: str,
        *,
        tenant: str = DEFAULT_TENANT,
        label: str | None = None,
        limit: int = 1000,
        page_token: str | None = None,
    ) -> DecisionPage:
        """The decisions that count, in the order of the rows. Raises DatasetNotFound, DataError, InvalidPageToken."""
        label = label or self._own_label(dataset_id, tenant)
        return queries.page(self._engine, dataset_id, label, limit=limit, page_token=page_token)

    def history(
        self, dataset_id: str, row: str, *, tenant: str = DEFAULT_TENANT, label: str | None = None
    ) -> RowHistory:
        """All decisions about one row. Raises DatasetNotFound, NotReviewable, DataError."""
        label, (number,) = self._place(dataset_id, label, [RowDecision(row=row, decision="unsure")], By(tenant))
        items = queries.history(self._engine, dataset_id, label, number)
        return RowHistory(
            row=row, version=next((item.version for item in items if item.undone_at is None), 0), items=items
        )

    def make_version(
        self, dataset_id: str, *, tenant: str = DEFAULT_TENANT, label: str | None = None, name: str | None = None
    ) -> tuple[DatasetResource, bool]:
        """A new data set from this one and the decisions about it; see :func:`hposvc.reviews.versions.make`."""
        label = label or self._own_label(dataset_id, tenant)
        try:
            return versions.make(self._datasets, self._engine, dataset_id, label, name=name, tenant=tenant)
        except FileNotFoundError:
            raise _lost(dataset_id) from None

    def _own_label(self, dataset_id: str, tenant: str) -> str:
        found = self._datasets.get(dataset_id, tenant=tenant)
        if found.source == "bundled":
            raise NotReviewable(dataset_id)
        if found.target is None:
            raise DataError([Defect("label", "nobody said which column is judged", "name the column as label")])
        return found.target

    def _place(self, dataset_id: str, label: str | None, decisions: Sequence[RowDecision], by: By) -> Placed:
        if self._datasets.get(dataset_id, tenant=by.tenant).source == "bundled":
            raise NotReviewable(dataset_id)
        task = None
        if by.job is not None:
            named = self._dataset_of_job(by.job, by.tenant)
            if named.get("id") != dataset_id:
                raise DataError([Defect("job", f"there is no job {by.job!r} of this data set", "leave it out")])
            label, task = label or named.get("label"), named.get("task")
        stored = self._datasets.stored(dataset_id, tenant=by.tenant)
        rows, labels = [each.row for each in decisions], [each.relabelled_to for each in decisions]
        try:
            return confined_review.place(stored, label, rows, labels, task)
        except FileNotFoundError:
            raise _lost(dataset_id) from None

    def _dataset_of_job(self, job: str, tenant: str) -> dict[str, str]:
        """What the job says of its data set; nothing, if there is no such job."""
        query = sa.select(jobs.c.spec["dataset"]).where(jobs.c.id == job, jobs.c.tenant_id == tenant)
        with read(self._engine) as connection:
            return connection.execute(query).scalar() or {}

    @staticmethod
    def _hold(connection: sa.Connection, dataset_id: str, tenant: str) -> None:
        """Let nobody else decide about the data set, or remove it, before this transaction ends."""
        mine = (datasets.c.id == dataset_id, datasets.c.tenant_id == tenant)
        query = sa.select(datasets.c.id).where(*mine).with_for_update(key_share=True)
        if connection.execute(query).first() is None:
            raise DatasetNotFound(dataset_id)


def _lost(dataset_id: str) -> DataError:
    message = f"the file of {dataset_id} is not in the store any more"
    return DataError([Defect("dataset.id", message, "remove the data set and upload it again")])
