"""What repeats say of each row and of each strength, from the files that their jobs left."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

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


def suspects(
    engine: sa.Engine, store: Store, experiment_id: str, *, tenant: str = DEFAULT_TENANT, limit: int = 100
) -> RepeatedRows:
    """The rows that were a suspect in some repeat, the most frequent first. Raises ExperimentNotFound, StoreError."""
    queries.get(engine, experiment_id, tenant=tenant)
    found = [
        table.filter(pc.is_valid(table["probability_wrong"]))
        for table in _tables(engine, store, experiment_id, tenant, ROWS, OF_ROWS)
    ]
    if not found:
        return RepeatedRows(repeats=0, total=0, items=[])
    whole = pa.concat_tables(
        [table.append_column("label_", pc.cast(table["label"], pa.string())).drop_columns("label") for table in found]
    )
    was = pc.cast(pc.fill_null(whole["suspect"], fill_value=False), "int64")
    whole = whole.set_column(whole.column_names.index("suspect"), "suspect", was)
    rows = whole.group_by("row_id", use_threads=False).aggregate(  # "first" needs the rows in order
        [("suspect", "sum"), ("suspect", "count"), ("probability_wrong", "mean"), ("label_", "first")]
    )
    rows = rows.filter(pc.greater(rows["suspect_sum"], 0))
    rows = rows.append_column("share", pc.divide(pc.cast(rows["suspect_sum"], "double"), rows["suspect_count"]))
    order = [("share", "descending"), ("probability_wrong_mean", "descending"), ("row_id", "ascending")]
    return RepeatedRows(
        repeats=len(found),
        total=len(rows),
        items=[
            RepeatedRow(
                row_id=str(row["row_id"]),
                label=str(row["label__first"]),
                judged=row["suspect_count"],
                suspect=row["suspect_sum"],
                probability_wrong=row["probability_wrong_mean"],
            )
            for row in rows.sort_by(order).slice(0, limit).to_pylist()
        ],
    )


def strengths(
    engine: sa.Engine, store: Store, experiment_id: str, *, tenant: str = DEFAULT_TENANT, limit: int = 100
) -> RepeatedStrengths:
    """The strengths over the repeats, the strongest first. Raises ExperimentNotFound, StoreError."""
    queries.get(engine, experiment_id, tenant=tenant)
    by_name: dict[tuple[str, str], list[float]] = defaultdict(list)
    repeats = 0
    for table in _tables(engine, store, experiment_id, tenant, STRENGTHS, OF_STRENGTHS):
        repeats += 1
        for row in table.to_pylist():
            by_name[row["feature"], row["penalty"]].append(row["lambda"])
    items = []
    for (name, penalty), values in by_name.items():
        lam = spread(values)
        if lam is not None:
            items.append(
                RepeatedStrength(name=name, penalty=penalty, repeats=len(values), strength=math.exp(lam.mean), lam=lam)
            )
    items.sort(key=lambda item: (-item.lam.mean, item.name, item.penalty))
    return RepeatedStrengths(repeats=repeats, items=items[:limit])


def _tables(
    engine: sa.Engine, store: Store, experiment_id: str, tenant: str, name: str, columns: list[str]
) -> Iterator[pa.Table]:
    """These columns of the file ``name`` of each trial that left one with all of them, one trial after the other."""
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
    for url in urls:
        with store.open(url) as file:
            parquet = pq.ParquetFile(file)
            if set(columns) <= set(parquet.schema_arrow.names):
                yield parquet.read(columns)
