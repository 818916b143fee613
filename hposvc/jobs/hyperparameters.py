"""λ of a job: of its answer once there is one, before that as its newest snapshot has it, and over time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa

from hposvc import snapshots
from hposvc.db.engine import read
from hposvc.db.tables import DEFAULT_TENANT, artifacts, jobs
from hposvc.db.tables import hyperparameters as table
from hposvc.jobs.queries import JobNotFound, assert_exists
from hposvc.jobs.resources import (
    Histogram,
    HistoryGroup,
    Hyperparameter,
    HyperparameterGroup,
    HyperparameterHistory,
    Hyperparameters,
    Quantiles,
)
from hposvc.jobs.spec import Kind
from hposvc.snapshots import PROBABILITIES, Scale
from hposvc.store import Store

Order = Literal["given", "lowest", "highest"]
FILE = "hyperparameters.parquet"
SCALES: dict[Kind, Scale] = {"data_reweighting": "logistic", "regularization_tuning": "log"}


class NotReady(Exception):
    """Not every value of λ is at hand before the job has ended. The message says what is."""

    def __init__(self, job_id: str, size: int) -> None:
        super().__init__(
            f"job {job_id} has no answer yet, and of its {size:,} values only the {snapshots.EXTREMES} lowest and the "
            f"{snapshots.EXTREMES} highest are at hand: ask for order=lowest or order=highest and no page after the "
            "first, or for the quantiles over time (…/hyperparameters/history)"
        )


class FileMissing(Exception):
    """The file of λ is recorded, but the store has it no longer."""


def current(
    engine: sa.Engine,
    job_id: str,
    *,
    tenant: str = DEFAULT_TENANT,
    order: Order = "given",
    after: int = 0,
    limit: int = 50,
) -> Hyperparameters:
    """λ with ``limit`` of its entries, those from place ``after`` on by ``order``; none of them with limit 0.

    Raises JobNotFound, NotReady, FileMissing.
    """
    newest = sa.select(table).where(table.c.job_id == job_id, table.c.detail.is_not(None))
    file = sa.select(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.name == FILE)
    with read(engine) as connection:
        job = connection.execute(
            sa.select(jobs.c.kind, jobs.c.result).where(jobs.c.id == job_id, jobs.c.tenant_id == tenant)
        ).first()
        if job is None:
            raise JobNotFound(job_id)
        answer = connection.execute(file).first()
        snapshot = connection.execute(newest.order_by(table.c.attempt.desc(), table.c.iteration.desc())).first()
    scale = SCALES[job.kind]
    if answer is not None:
        names = None if snapshot is None else [(part["name"], part["size"]) for part in snapshot.detail["groups"]]
        best = None if job.result is None else job.result.get("best_iteration")
        return _of_file(answer.url, answer.sha256, scale, names, best, (order, after, limit))
    if snapshot is None:
        return Hyperparameters(iteration=None, final=False, scale=scale, size=0, groups=[], items=[], next_after=None)
    return _of_snapshot(job_id, snapshot, scale, (order, after, limit))


def history(engine: sa.Engine, job_id: str, *, tenant: str = DEFAULT_TENANT, after: int = -1) -> HyperparameterHistory:
    """The snapshots after iteration ``after``. Raises JobNotFound."""
    mine = table.c.job_id == job_id
    with read(engine) as connection:
        assert_exists(connection, job_id, tenant)
        kind = connection.execute(sa.select(jobs.c.kind).where(jobs.c.id == job_id)).scalar_one()
        rows = connection.execute(
            sa.select(table.c.iteration, table.c.summary)
            .where(mine, table.c.iteration > after)
            .order_by(table.c.iteration)
        ).all()
        detail = connection.execute(
            sa.select(table.c.detail)
            .where(mine, table.c.detail.is_not(None))
            .order_by(table.c.attempt.desc(), table.c.iteration.desc())
        ).scalar()
    scale = SCALES[kind]
    groups = []
    for position, group in enumerate(detail["groups"] if detail else []):
        lam = _numbers([row.summary["groups"][position] for row in rows])
        groups.append(
            HistoryGroup(
                name=group["name"],
                size=group["size"],
                lam=lam.T.tolist(),
                value=snapshots.values(lam, scale).T.tolist(),
            )
        )
    names = detail["names"] if detail else None
    return HyperparameterHistory(
        iteration=[row.iteration for row in rows],
        scale=scale,
        probabilities=list(PROBABILITIES),
        groups=groups,
        names=names,
        values=None
        if names is None
        else snapshots.values(_numbers([row.summary["values"] for row in rows]), scale).T.tolist(),
        next_after=rows[-1].iteration if rows else after,
    )


def _of_snapshot(job_id: str, snapshot: sa.Row[Any], scale: Scale, page: tuple[Order, int, int]) -> Hyperparameters:
    order, after, limit = page
    summary, detail = snapshot.summary, snapshot.detail
    size = sum(group["size"] for group in detail["groups"])
    groups = [
        HyperparameterGroup(
            name=group["name"],
            size=group["size"],
            quantiles=_quantiles(_numbers([lam])[0], scale),
            histogram=Histogram.model_validate(group["histogram"]),
        )
        for group, lam in zip(detail["groups"], summary["groups"], strict=True)
    ]
    listed = _listed(detail, order)
    if limit and after >= len(listed) and len(listed) < size:
        raise NotReady(job_id, size)
    shown = listed[after : after + limit]
    lam = np.array([float(entry["lam"]) for entry in shown])
    items = [
        Hyperparameter.model_validate(entry | {"value": value})
        for entry, value in zip(shown, snapshots.values(lam, scale).tolist(), strict=True)
    ]
    more = after + len(items)
    return Hyperparameters(
        iteration=snapshot.iteration,
        final=False,
        scale=scale,
        size=size,
        groups=groups,
        items=items,
        next_after=more if items and more < len(listed) else None,
    )


def _listed(detail: dict[str, Any], order: Order) -> list[dict[str, Any]]:
    """The entries that the detail of a snapshot has in this order: all where they are few, else the first of them."""
    if order != "given":
        entries: list[dict[str, Any]] = detail[order]
        return entries
    if detail["names"] is None:
        return []
    return sorted(detail["lowest"], key=lambda entry: int(entry["place"]))


def _of_file(
    url: str,
    sha256: str,
    scale: Scale,
    names: list[tuple[str, int]] | None,
    iteration: int | None,
    page: tuple[Order, int, int],
) -> Hyperparameters:
    order, after, limit = page
    columns, lam = _columns(url, sha256)
    size = len(lam)
    if names is None or sum(length for _, length in names) != size:
        names = [("all", size)]
    groups = [
        HyperparameterGroup(
            name=name,
            size=length,
            quantiles=_quantiles(np.quantile(part, PROBABILITIES), scale),
            histogram=Histogram(**snapshots.histogram(part, scale)),
        )
        for (name, length), part in zip(
            names, snapshots.split(lam, [snapshots.Group(*entry) for entry in names]), strict=True
        )
    ]
    places = np.arange(size) if order == "given" else np.argsort(lam, kind="stable")
    if order == "highest":
        places = places[::-1]
    shown = places[after : after + limit]
    values = snapshots.values(lam[shown], scale)
    items = [
        Hyperparameter(
            lam=float(lam[place]),
            value=float(value),
            **{name: column[place].as_py() for name, column in columns.items()},
        )
        for place, value in zip(shown.tolist(), values, strict=True)
    ]
    return Hyperparameters(
        iteration=iteration,
        final=True,
        scale=scale,
        size=size,
        groups=groups,
        items=items,
        next_after=after + len(items) if items and after + len(items) < size else None,
    )


@lru_cache(maxsize=4)
def _columns(url: str, sha256: str) -> tuple[dict[str, Any], snapshots.Floats]:
    """The columns of the file that name its rows, the first of them as ``name``, and λ. ``sha256`` tells versions."""
    import pyarrow.parquet as pq  # here: most processes never read one

    base, _, key = url.rpartition("/")
    try:
        with Store(base).open(f"{base}/{key}") as stream:
            content = pq.read_table(stream)
    except FileNotFoundError as error:
        raise FileMissing(url) from error
    named = [name for name in content.column_names if name not in {"lambda", "weight", "strength"}]
    columns = {("name" if name == named[0] else name): content[name].combine_chunks() for name in named}
    return columns, content["lambda"].to_numpy()


def _quantiles(lam: snapshots.Floats, scale: Scale) -> Quantiles:
    value = snapshots.values(lam, scale)
    return Quantiles(probabilities=list(PROBABILITIES), lam=lam.tolist(), value=value.tolist())


def _numbers(rows: list[list[float | str]]) -> snapshots.Floats:
    """Rows of numbers as they are in JSON, where NaN is a string."""
    return np.array([[float(value) for value in row] for row in rows], dtype=np.float64)
