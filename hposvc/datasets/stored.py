"""Uploaded data sets in the database, for those that read them: jobs, and the workers that compute them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hposvc.db.tables import datasets, jobs
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import TERMINAL
from hposvc.tables.defects import DataError, Defect


@dataclass(frozen=True)
class StoredDataset:
    """What reading a stored data set takes."""

    id: str
    name: str
    url: str
    sha256: str
    description: dict[str, Any]


def find(connection: sa.Connection, ids: Iterable[str], tenant: str, *, hold: bool = False) -> list[StoredDataset]:
    """Those of the uploaded data sets ``ids`` that the tenant has. ``hold`` keeps them until the transaction ends."""
    query = datasets.select().where(datasets.c.id.in_(list(ids)), datasets.c.tenant_id == tenant)
    rows = connection.execute(query.with_for_update(read=True) if hold else query).mappings().all()
    return [
        StoredDataset(
            row["id"], row["name"], row["url"], row["sha256"], {**row["description"], "columns": row["columns"]}
        )
        for row in rows
    ]


def hold(connection: sa.Connection, spec: JobSpec, tenant: str) -> None:
    """Keep the uploaded data sets of ``spec`` from being removed in this transaction. Raises DataError: one is gone."""
    uploaded = {*spec.uploads}
    gone = uploaded - {item.id for item in find(connection, uploaded, tenant, hold=True)} if uploaded else set()
    if gone:
        raise DataError([Defect("dataset.id", f"there is no data set {min(gone)!r} any more", "upload it again")])


def users_of(connection: sa.Connection, dataset_id: str, tenant: str, *, also_ended: bool = False) -> list[str]:
    """The jobs that name the data set and are not over, or ``also_ended``."""
    named = jobs.c.spec["dataset"]
    places = (named["id"], named["split"]["validation"], named["split"]["test"])
    query = sa.select(jobs.c.id).where(
        jobs.c.tenant_id == tenant,
        sa.true() if also_ended else jobs.c.state.not_in(TERMINAL),
        sa.or_(*(place.as_string() == dataset_id for place in places)),
    )
    return list(connection.execute(query.order_by(jobs.c.id)).scalars())
