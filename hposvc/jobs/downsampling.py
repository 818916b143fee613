"""A million iterations as a thousand buckets: first, last, smallest and largest value of each, so no spike is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from hposvc.db.engine import read
from hposvc.db.numbers import unpack
from hposvc.db.tables import DEFAULT_TENANT
from hposvc.db.tables import iterations as table
from hposvc.jobs.queries import METRICS, assert_exists, extent
from hposvc.jobs.resources import Bucket, Buckets, IterationColumns

# The metrics that are drawn; of the others a bucket tells the last value only.
BANDS = ("upper_loss", "hypergradient_norm", "lower_loss", "selection_loss")
IN_LIMIT = 1000  # values in one IN (…)


def iterations(
    engine: sa.Engine,
    job_id: str,
    *,
    tenant: str = DEFAULT_TENANT,
    start: int | None = None,
    stop: int | None = None,
    max_points: int,
) -> IterationColumns:
    """The iterations from ``start`` to ``stop`` (both included, by default all) in at most ``max_points`` points.

    When there are more, the stretch is cut into buckets of equally many iteration numbers. The columns then hold the
    last iteration of each bucket, and ``buckets`` what happened inside it. Raises JobNotFound.
    """
    with read(engine) as connection:
        assert_exists(connection, job_id, tenant)
        mine = table.c.job_id == job_id
        first, last = extent(connection, job_id)
        total = last - first + 1
        if total == 0:
            return _columns([], total=0, next_after=-1)
        start, stop = max(first, start or first), min(last, last if stop is None else stop)
        if stop - start < max_points:
            inside = connection.execute(
                table.select().where(mine, table.c.iteration.between(start, stop)).order_by(table.c.iteration)
            )
            return _columns(inside.mappings().all(), total=total, next_after=last)
        width = -(-(stop - start + 1) // max_points)
        folded = list(_fold(connection, mine, start, stop, width))
        firsts = _rows(connection, mine, [bucket.first for bucket in folded])
        lasts = _rows(connection, mine, [bucket.last for bucket in folded])
        broken = _broken(connection, mine, start, stop) if any(bucket.nonfinite for bucket in folded) else []
    return _columns(lasts, total=total, next_after=last, buckets=_buckets(folded, firsts, broken))


def _fold(
    connection: sa.Connection, mine: sa.ColumnElement[bool], start: int, stop: int, width: int
) -> Iterator[sa.Row[Any]]:
    """Per bucket: first and last iteration, their count, rows with non-finite values, and extremes of each band.

    One grouping query on PostgreSQL. SQLite would sort the whole stretch for that; a range per bucket reads it in
    order, and without a network a thousand small queries cost little (a million rows: 0.5 s instead of 0.9 s).
    """
    number = table.c.iteration
    query = sa.select(
        sa.func.min(number).label("first"),
        sa.func.max(number).label("last"),
        sa.func.count().label("size"),
        sa.func.count(table.c.nonfinite).label("nonfinite"),
        *(sa.func.min(table.c[name]).label(f"min_{name}") for name in BANDS),
        *(sa.func.max(table.c[name]).label(f"max_{name}") for name in BANDS),
    ).where(mine)
    if connection.dialect.name != "sqlite":
        bucket = (number - start) // width
        yield from connection.execute(query.where(number.between(start, stop)).group_by(bucket).order_by(bucket))
        return
    ranged = query.where(number.between(sa.bindparam("low"), sa.bindparam("high")))
    for low in range(start, stop + 1, width):
        row = connection.execute(ranged, {"low": low, "high": min(low + width - 1, stop)}).one()
        if row.size:
            yield row


def _rows(connection: sa.Connection, mine: sa.ColumnElement[bool], numbers: Sequence[int]) -> list[sa.RowMapping]:
    rows: list[sa.RowMapping] = []
    for begin in range(0, len(numbers), IN_LIMIT):
        some = table.c.iteration.in_(numbers[begin : begin + IN_LIMIT])
        rows += connection.execute(table.select().where(mine, some).order_by(table.c.iteration)).mappings().all()
    return rows


def _broken(
    connection: sa.Connection, mine: sa.ColumnElement[bool], start: int, stop: int
) -> Sequence[sa.Row[int, dict[str, str]]]:
    query = sa.select(table.c.iteration, table.c.nonfinite).where(mine, table.c.iteration.between(start, stop))
    return connection.execute(query.where(table.c.nonfinite.is_not(None)).order_by(table.c.iteration)).all()


def _buckets(
    folded: Sequence[sa.Row[Any]], firsts: Sequence[sa.RowMapping], broken: Sequence[sa.Row[int, dict[str, str]]]
) -> Buckets:
    values = [unpack(row, BANDS) for row in firsts]
    counts = {name: [0] * len(folded) for name in BANDS}
    at = 0
    for number, names in broken:
        while folded[at].last < number:
            at += 1
        for name in counts.keys() & names:
            counts[name][at] += 1
    bands = {
        name: Bucket(
            first=[value[name] for value in values],
            min=[getattr(row, f"min_{name}") for row in folded],
            max=[getattr(row, f"max_{name}") for row in folded],
            nonfinite=counts[name],
        )
        for name in BANDS
    }
    return Buckets(first_iteration=[row.first for row in folded], count=[row.size for row in folded], **bands)


def _columns(
    rows: Sequence[sa.RowMapping], *, total: int, next_after: int, buckets: Buckets | None = None
) -> IterationColumns:
    values = [unpack(row, METRICS) for row in rows]
    return IterationColumns(
        iteration=[row["iteration"] for row in rows],
        **{name: [value[name] for value in values] for name in METRICS},
        total=total,
        next_after=next_after,
        downsampled=buckets is not None,
        buckets=buckets,
    )
