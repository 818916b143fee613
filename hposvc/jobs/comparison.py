"""Several jobs side by side: one metric of each, where their specifications differ, and their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from hposvc.db.tables import BANDS, DEFAULT_TENANT
from hposvc.jobs import queries
from hposvc.jobs.gain import best_rival
from hposvc.jobs.iterations import downsampling
from hposvc.schema.comparison import ComparedJob, Comparison, Difference
from hposvc.schema.job import JobResource
from hposvc.schema.result import read_result
from hposvc.schema.spec import Kind

MOST_JOBS = 8
Metric = Literal["upper_loss", "hypergradient_norm", "lower_loss", "selection_loss", "upper_score", "fd_relative_error"]


def compare(
    engine: sa.Engine,
    job_ids: Sequence[str],
    *,
    tenant: str = DEFAULT_TENANT,
    metric: Metric = "upper_loss",
    by: Literal["iteration", "seconds"] = "iteration",
    start: int | None = None,
    stop: int | None = None,
    max_points: int = 500,
) -> Comparison:
    """The jobs in the order given, with ``metric`` from iteration ``start`` to ``stop``. Raises JobNotFound."""
    jobs = [queries.get(engine, job_id, tenant=tenant) for job_id in job_ids]
    return Comparison(
        metric=metric,
        by=by,
        jobs=[
            _compared(
                job,
                metric,
                downsampling.iterations(engine, job.id, tenant=tenant, start=start, stop=stop, max_points=max_points),
            )
            for job in jobs
        ],
        differences=differences([job.spec.model_dump(mode="json") for job in jobs]),
    )


def differences(specs: Sequence[dict[str, Any]]) -> list[Difference]:
    """The fields that are not the same in all ``specs``, their names aside; in the order of the specification."""
    flat = [dict(_fields(spec)) for spec in specs]
    fields = dict.fromkeys(field for spec in flat for field in spec if field != "name")
    found = []
    for field in fields:
        values = [spec.get(field) for spec in flat]
        if any(value != values[0] for value in values):
            found.append(Difference(field=field, values=values))
    return found


def _fields(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict) and item:
            yield from _fields(item, f"{prefix}{name}.")
        else:
            yield prefix + name, item


def _compared(job: JobResource, metric: Metric, columns: Any) -> ComparedJob:
    value = getattr(columns, metric)
    band = getattr(columns.buckets, metric) if columns.buckets is not None and metric in BANDS else None
    return ComparedJob(
        id=job.id,
        name=job.name,
        kind=job.kind,
        state=job.state,
        progress=job.progress,
        best=job.best,
        total=columns.total,
        downsampled=columns.downsampled,
        iteration=columns.iteration,
        seconds=columns.seconds,
        value=value,
        min=value if band is None else band.min,
        max=value if band is None else band.max,
        result=None if job.result is None else _in_short(job.kind, job.result),
        error=job.error,
    )


def _in_short(kind: Kind, result: dict[str, Any]) -> dict[str, Any]:
    """The figures of a result that compare, and the best rival of its tuned model by what its kind is judged by."""
    readable = read_result(result)
    tuned = next((model for model in readable.models if model.name == "tuned"), None)
    rival = best_rival(kind, readable)
    kept = ("stopped_by", "iterations", "best_iteration", "seconds", "score_name", "sentence", "suspects_total", "rows")
    return {name: result.get(name) for name in kept} | {
        "tuned": None if tuned is None else tuned.model_dump(),
        "best_rival": None if rival is None else rival.model_dump(),
        "f1": None if readable.noise is None else readable.noise.f1,
    }
