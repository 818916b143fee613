"""λ of a job: of its result once there is one, before that at its newest snapshot or checkpoint, and over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, Literal, get_args

import numpy as np
import sqlalchemy as sa

from hposvc import snapshots
from hposvc.copyable import Copyable
from hposvc.db.engine import read
from hposvc.db.tables import DEFAULT_TENANT, artifacts, jobs
from hposvc.db.tables import hyperparameters as table
from hposvc.files.tensors import tensor_bytes
from hposvc.jobs.queries import JobNotFound, assert_exists
from hposvc.jobs.stored_file import CHECKPOINT
from hposvc.schema.hyperparameters import (
    Histogram,
    HistoryGroup,
    Hyperparameter,
    HyperparameterGroup,
    HyperparameterHistory,
    Hyperparameters,
    Quantiles,
)
from hposvc.schema.paging import InvalidPageToken, decode_page, encode_page, require_order
from hposvc.schema.spec import Kind
from hposvc.snapshots import PROBABILITIES, Scale
from hposvc.storage.store import Store

Order = Literal["given", "lowest", "highest"]
FILE = "hyperparameters.parquet"
TOKEN_DIGITS = 16  # of the SHA-256 of a file: iterations come again when a job is retried, contents do not
SCALES: dict[Kind, Scale] = {"data_reweighting": "logistic", "regularization_tuning": "log", "custom": "linear"}


class NotReady(Copyable, Exception):
    """Not every value of λ is at hand before the first checkpoint. The message says what is."""

    def __init__(self, job_id: str, size: int, every: int | Literal["auto"]) -> None:
        due = "some seconds" if every == "auto" else f"{every:,} iterations"
        super().__init__(
            f"job {job_id} has neither an answer nor a checkpoint yet (the first is due after {due}), "
            f"and of its {size:,} values only the {snapshots.EXTREMES} lowest and the {snapshots.EXTREMES} highest are "
            f"at hand: ask for order=lowest or order=highest with a limit of at most {snapshots.EXTREMES} and without "
            "whole, or for the quantiles over time (…/hyperparameters/history)"
        )


class MovedOn(Copyable, Exception):
    """The values that a page token leads through are kept no longer: the job has gone on."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} has gone on since the first page, and its values of then are kept no longer")


class FileMissing(Exception):
    """The file of λ is recorded, but the store has it no longer, or damaged."""


@dataclass(frozen=True)
class _Page:
    """What is wanted: ``limit`` entries from place ``after`` on by ``order``."""

    order: Order
    after: int
    limit: int

    def next(self, source: str, size: int) -> str | None:
        """The token of the page after this one, of the same ``source``; None after the last of ``size`` entries."""
        reached = self.after + self.limit
        if not self.limit or reached >= size:
            return None
        return encode_page(source, self.order, reached)


def current(
    engine: sa.Engine,
    job_id: str,
    *,
    tenant: str = DEFAULT_TENANT,
    order: Order = "given",
    whole: bool = False,
    page: str | None = None,
    limit: int = 50,
) -> Hyperparameters:
    """λ with ``limit`` of its entries by ``order``, from the first or from where the token ``page`` leads.

    Before there is a result, the newest snapshot is asked, which has the extremes of λ; what it cannot tell, and every
    value where ``whole``, comes from the newest checkpoint. A token leads on through the values that its first page
    was of, so pages fit together while the job goes on.

    Raises JobNotFound, NotReady, MovedOn, FileMissing; InvalidPageToken.
    """
    source, after = (None, 0) if page is None else _decode(page, order)
    wanted = _Page(order, after, limit)
    kept = _kept(engine, job_id, tenant)
    if source is not None:
        return kept.again(source, wanted)
    if kept.files and kept.files[0].name == FILE:
        return kept.of_file(kept.files[0], wanted)
    if kept.snapshot is None:
        return Hyperparameters(
            iteration=None, final=False, scale=kept.scale, size=0, groups=[], items=[], complete=True, next_page=None
        )
    listed, size = len(_listed(kept.snapshot.detail, order)), _size(kept.snapshot.detail)
    if not limit or listed == size or (not whole and limit <= listed):
        return _of_snapshot(kept.snapshot, kept.scale, wanted)
    if not kept.files:
        raise NotReady(job_id, size, kept.checkpoint_every)
    return kept.of_file(kept.files[0], wanted)


@dataclass(frozen=True)
class _Kept:
    """What there is of λ of a job: the file of the result, else checkpoints, newest first; and the newest snapshot."""

    job_id: str
    scale: Scale
    checkpoint_every: int | Literal["auto"]
    best_iteration: int | None
    files: Sequence[sa.Row[Any]]
    snapshot: sa.Row[Any] | None

    def again(self, source: str, page: _Page) -> Hyperparameters:
        """The page of what a token names. Raises MovedOn."""
        for file in self.files:
            if file.sha256.startswith(source):
                return self.of_file(file, page)
        if self.snapshot is None or source != str(self.snapshot.iteration):
            raise MovedOn(self.job_id)
        return _of_snapshot(self.snapshot, self.scale, page)

    def of_file(self, file: sa.Row[Any], page: _Page) -> Hyperparameters:
        """The page of the result or of a checkpoint. Raises FileMissing."""
        names = (
            None if self.snapshot is None else [(part["name"], part["size"]) for part in self.snapshot.detail["groups"]]
        )
        final = file.name == FILE
        return _of_file(file, self.scale, names, self.best_iteration if final else file.iteration, page, final=final)


def _kept(engine: sa.Engine, job_id: str, tenant: str) -> _Kept:
    """Raises JobNotFound."""
    newest = sa.select(table).where(table.c.job_id == job_id, table.c.detail.is_not(None))
    files = sa.select(artifacts).where(
        artifacts.c.job_id == job_id, sa.or_(artifacts.c.name == FILE, artifacts.c.kind == CHECKPOINT)
    )
    with read(engine) as connection:
        job = connection.execute(
            sa.select(jobs.c.kind, jobs.c.spec, jobs.c.result).where(jobs.c.id == job_id, jobs.c.tenant_id == tenant)
        ).first()
        if job is None:
            raise JobNotFound(job_id)
        return _Kept(
            job_id,
            SCALES[job.kind],
            job.spec["checkpoint_every"],
            (job.result or {}).get("best_iteration"),
            connection.execute(files.order_by(artifacts.c.name != FILE, artifacts.c.iteration.desc())).all(),
            connection.execute(newest.order_by(table.c.attempt.desc(), table.c.iteration.desc())).first(),
        )


def _decode(token: str, order: Order) -> tuple[str, int]:
    """What a page token leads through, and the place to go on from. Raises InvalidPageToken."""
    parts = decode_page(token)
    if len(parts) != 3:
        raise InvalidPageToken
    source, made_for, after = parts
    require_order(made_for, order, get_args(Order))
    if not isinstance(source, str) or not source or type(after) is not int or after < 0:
        raise InvalidPageToken
    return source, after


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


def _of_snapshot(snapshot: sa.Row[Any], scale: Scale, page: _Page) -> Hyperparameters:
    summary, detail = snapshot.summary, snapshot.detail
    groups = [
        HyperparameterGroup(
            name=group["name"],
            size=group["size"],
            quantiles=_quantiles(_numbers([lam])[0], scale),
            histogram=Histogram.model_validate(group["histogram"]),
        )
        for group, lam in zip(detail["groups"], summary["groups"], strict=True)
    ]
    listed, size = _listed(detail, page.order), _size(detail)
    shown = listed[page.after : page.after + page.limit]
    lam = np.array([float(entry["lam"]) for entry in shown])
    items = [
        Hyperparameter.model_validate(entry | {"value": value})
        for entry, value in zip(shown, snapshots.values(lam, scale).tolist(), strict=True)
    ]
    return Hyperparameters(
        iteration=snapshot.iteration,
        final=False,
        scale=scale,
        size=size,
        groups=groups,
        items=items,
        complete=len(listed) == size,
        next_page=page.next(str(snapshot.iteration), len(listed)),
    )


def _size(detail: dict[str, Any]) -> int:
    """How many values λ has."""
    return sum(group["size"] for group in detail["groups"])


def _listed(detail: dict[str, Any], order: Order) -> list[dict[str, Any]]:
    """The entries that the detail of a snapshot has in this order: all where they are few, else the first of them."""
    if order != "given":
        entries: list[dict[str, Any]] = detail[order]
        return entries
    if detail["names"] is None:
        return []
    return sorted(detail["lowest"], key=lambda entry: int(entry["place"]))


def _of_file(
    file: sa.Row[Any],
    scale: Scale,
    names: list[tuple[str, int]] | None,
    iteration: int | None,
    page: _Page,
    *,
    final: bool,
) -> Hyperparameters:
    columns, lam = _columns(file.url, file.sha256)
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
    places = np.arange(size) if page.order == "given" else np.argsort(lam, kind="stable")
    if page.order == "highest":
        places = places[::-1]
    shown = places[page.after : page.after + page.limit]
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
        final=final,
        scale=scale,
        size=size,
        groups=groups,
        items=items,
        complete=True,
        next_page=page.next(file.sha256[:TOKEN_DIGITS], size),
    )


@lru_cache(maxsize=4)
def _columns(url: str, sha256: str) -> tuple[dict[str, Any], snapshots.Floats]:
    """The columns of the file that name its rows, the first of them as ``name``, and λ. ``sha256`` tells versions."""
    import pyarrow.parquet as pq  # here: most processes never read one

    base, _, key = url.rpartition("/")
    try:
        with Store(base).open(f"{base}/{key}") as stream:
            parquet = key.endswith(".parquet")
            file = stream if parquet else BytesIO(tensor_bytes(stream, snapshots.IN_CHECKPOINT))
            content = pq.ParquetFile(file).read(use_threads=False)
    except (FileNotFoundError, KeyError, ValueError) as error:  # gone; or not what it was when it was recorded
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
