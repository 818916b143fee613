"""What repeats say of each row and of each strength, from the files that their jobs left."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from hposvc.db.engine import read
from hposvc.db.tables import DEFAULT_TENANT, artifacts, experiment_trials, jobs
from hposvc.experiments import queries
from hposvc.experiments.repeated import spread
from hposvc.schema.experiments import RepeatedRow, RepeatedRows, RepeatedStrength, RepeatedStrengths
from hposvc.storage.store import Store

ROWS, STRENGTHS = "rows.parquet", "hyperparameters.parquet"
OF_ROWS = ["row_id", "label", "suspect", "probability_wrong"]
OF_STRENGTHS = ["feature", "penalty", "lambda"]
MOST_READ = 5_000_000
"""Lines of all files together that one request reads: the first repeats that have no more count."""


def suspects(
    engine: sa.Engine, store: Store, experiment_id: str, *, tenant: str = DEFAULT_TENANT, limit: int = 100
) -> RepeatedRows:
    """The rows that were a suspect in some repeat, the most frequent first. Raises ExperimentNotFound, StoreError."""
    queries.get(engine, experiment_id, tenant=tenant)
    repeats, rows = 0, None
    for table in _tables(engine, store, experiment_id, tenant, ROWS, OF_ROWS):
        repeats += 1
        rows = _sums(_judged(table) if rows is None else pa.concat_tables([rows, _judged(table)]))
    if rows is None:
        return RepeatedRows(repeats=0, total=0, items=[])
    rows = rows.filter(pc.greater(rows["suspect"], 0))
    judged = pc.cast(rows["judged"], "double")
    rows = rows.append_column("share", pc.divide(pc.cast(rows["suspect"], "double"), judged))
    rows = rows.append_column("mean", pc.divide(rows["probability_wrong"], judged))
    order = [("share", "descending"), ("mean", "descending"), ("row_id", "ascending")]
    return RepeatedRows(
        repeats=repeats,
        total=len(rows),
        items=[
            RepeatedRow(
                row_id=str(row["row_id"]),
                label=str(row["label"]),
                judged=row["judged"],
                suspect=row["suspect"],
                probability_wrong=row["mean"],
            )
            for row in rows.sort_by(order).slice(0, limit).to_pylist()
        ],
    )


def _judged(table: pa.Table) -> pa.Table:
    """The rows of one repeat of which something is said, as the sums over one repeat."""
    table = table.filter(pc.is_valid(table["probability_wrong"]))
    return pa.table(
        {
            "row_id": table["row_id"],
            "label": pc.cast(table["label"], pa.string()),
            "suspect": pc.cast(pc.fill_null(table["suspect"], fill_value=False), "int64"),
            "judged": pa.array(np.ones(len(table), np.int64)),
            "probability_wrong": pc.cast(table["probability_wrong"], "double"),
        }
    )


def _sums(table: pa.Table) -> pa.Table:
    """One row for each row_id, with the sums of the others' and the first label."""
    sums = ("suspect", "judged", "probability_wrong")
    grouped = table.group_by("row_id", use_threads=False)  # "first" needs the rows in order
    found = grouped.aggregate([("label", "first"), *((name, "sum") for name in sums)])
    return found.select(["row_id", "label_first", *(f"{name}_sum" for name in sums)]).rename_columns(
        ["row_id", "label", *sums]
    )


def strengths(
    engine: sa.Engine, store: Store, experiment_id: str, *, tenant: str = DEFAULT_TENANT, limit: int = 100
) -> RepeatedStrengths:
    """The strengths over the repeats, the strongest first. Raises ExperimentNotFound, StoreError."""
    queries.get(engine, experiment_id, tenant=tenant)
    tables = list(_tables(engine, store, experiment_id, tenant, STRENGTHS, OF_STRENGTHS))
    if not tables:
        return RepeatedStrengths(repeats=0, items=[])
    found = pa.concat_tables(tables).group_by(["feature", "penalty"], use_threads=False)
    means = found.aggregate([("lambda", "list"), ("lambda", "mean")])
    order = [("lambda_mean", "descending"), ("feature", "ascending"), ("penalty", "ascending")]
    items = []
    for row in means.sort_by(order).slice(0, limit).to_pylist():
        values, lam = row["lambda_list"], spread(row["lambda_list"])
        if lam is not None:
            name, penalty, strength = row["feature"], row["penalty"], math.exp(lam.mean)
            items.append(RepeatedStrength(name=name, penalty=penalty, repeats=len(values), strength=strength, lam=lam))
    return RepeatedStrengths(repeats=len(tables), items=items)


def _tables(
    engine: sa.Engine, store: Store, experiment_id: str, tenant: str, name: str, columns: list[str]
) -> Iterator[pa.Table]:
    """These columns of the file ``name`` of each trial that left one with all of them, one trial after the other, up to
    MOST_READ lines; the first file is read whatever its size.
    """
    trials = experiment_trials
    query = (
        sa.select(artifacts.c.url)
        .join(trials, trials.c.job_id == artifacts.c.job_id)
        .join(jobs, jobs.c.id == artifacts.c.job_id)
        .where(trials.c.experiment_id == experiment_id, trials.c.state == "succeeded", artifacts.c.name == name)
        .where(jobs.c.tenant_id == tenant)
        .order_by(trials.c.number)
    )
    with read(engine) as connection:
        urls = connection.execute(query).scalars().all()
    lines = 0
    for url in urls:
        with store.open(url) as file:
            parquet = pq.ParquetFile(file)
            if not set(columns) <= set(parquet.schema_arrow.names):
                continue
            if lines and lines + parquet.metadata.num_rows > MOST_READ:
                return
            lines += parquet.metadata.num_rows
            yield parquet.read(columns)
