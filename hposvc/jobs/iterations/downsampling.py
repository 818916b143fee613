"""A million iterations as a thousand buckets: first, last, smallest and largest value of each, so no spike is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from hposvc.db.engine import read
from hposvc.db.numbers import unpack
from hposvc.db.tables import BANDS, DEFAULT_TENANT
from hposvc.db.tables import iteration_blocks as blocks
from hposvc.db.tables import iterations as table
from hposvc.jobs.iterations.blocks import BLOCK, FOLDED
from hposvc.jobs.queries import METRICS, assert_exists, extent
from hposvc.schema.iterations import Bucket, Buckets, IterationColumns

IN_LIMIT = 1000  # values in one IN (…)
Folded = dict[str, Any]


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
        folded = _fold(connection, job_id, start, stop, width)
        firsts = _rows(connection, mine, [bucket["first"] for bucket in folded])
        lasts = _rows(connection, mine, [bucket["last"] for bucket in folded])
        broken = [row for bucket in folded if bucket["nonfinite"] for row in _broken(connection, mine, bucket)]
    return _columns(lasts, total=total, next_after=last, buckets=_buckets(folded, firsts, broken))


def _fold(connection: sa.Connection, job_id: str, start: int, stop: int, width: int) -> list[Folded]:
    """Per bucket: first and last iteration, their count, rows with non-finite values, and extremes of each band.

    Wide buckets are put together from blocks that were folded when they were written; both ends of the stretch, where
    it cuts through a block, from iterations. Where a block is missing, everything is read.
    """
    low, high = 0 if start <= 1 else -(-start // BLOCK), (stop + 1) // BLOCK  # the blocks [low, high) lie inside
    if width < BLOCK or low >= high:
        return _fold_iterations(connection, job_id, start, stop, width)
    inner = _fold_blocks(connection, job_id, low, high, width, start)
    last = high * BLOCK - 1
    if not inner or sum(bucket["size"] for bucket in inner) != last - max(start, low * BLOCK) + 1:
        return _fold_iterations(connection, job_id, start, stop, width)
    head = _fold_iterations(connection, job_id, start, inner[0]["first"] - 1, width)
    tail = _fold_iterations(connection, job_id, last + 1, stop, width)
    return _merged([*head, *inner, *tail], start, width)


def _merged(parts: Sequence[Folded], start: int, width: int) -> list[Folded]:
    """Consecutive ``parts`` that begin in the same bucket as one."""
    buckets: dict[int, Folded] = {}
    for part in parts:
        bucket = (part["first"] - start) // width
        into = buckets.get(bucket)
        if into is None:
            buckets[bucket] = part
            continue
        into |= {name: into[name] + part[name] for name in ("size", "nonfinite")} | {"last": part["last"]}
        for name in BANDS:
            for side, function in (("min", min), ("max", max)):
                known = [item[f"{side}_{name}"] for item in (into, part) if item[f"{side}_{name}"] is not None]
                into[f"{side}_{name}"] = function(known, default=None)
    return list(buckets.values())


def _fold_blocks(connection: sa.Connection, job_id: str, low: int, high: int, width: int, start: int) -> list[Folded]:
    bucket = (blocks.c.first - start) // width
    query = (
        sa.select(
            sa.func.min(blocks.c.first).label("first"),
            sa.func.max(blocks.c.last).label("last"),
            sa.func.sum(blocks.c.size).label("size"),
            sa.func.sum(blocks.c.nonfinite).label("nonfinite"),
            *(
                function(blocks.c[f"{side}_{name}"]).label(f"{side}_{name}")
                for name in BANDS
                for side, function in (("min", sa.func.min), ("max", sa.func.max))
            ),
        )
        .where(blocks.c.job_id == job_id, blocks.c.block >= low, blocks.c.block < high)
        .group_by(bucket)
        .order_by(bucket)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _fold_iterations(connection: sa.Connection, job_id: str, start: int, stop: int, width: int) -> list[Folded]:
    """The same from iterations, in buckets counted from ``start``."""
    if start > stop:
        return []
    number = table.c.iteration
    bucket = (number - start) // width
    query = sa.select(*FOLDED).where(table.c.job_id == job_id, number.between(start, stop))
    return [dict(row) for row in connection.execute(query.group_by(bucket).order_by(bucket)).mappings()]


def _rows(connection: sa.Connection, mine: sa.ColumnElement[bool], numbers: Sequence[int]) -> list[sa.RowMapping]:
    """The iterations of these ascending ``numbers``, each looked up by itself.

    PostgreSQL reads all iterations of the job for a long IN (…); a LATERAL with a limit leaves it no choice.
    """
    if connection.dialect.name != "sqlite":
        values = sa.func.unnest(sa.literal(list(numbers), ARRAY(sa.BigInteger)))
        wanted = values.table_valued("number").render_derived("wanted")
        each = table.select().where(mine, table.c.iteration == wanted.c.number).limit(1).lateral("each")
        found = sa.select(each).select_from(wanted).join(each, sa.true()).order_by(each.c.iteration)
        return list(connection.execute(found).mappings())
    rows: list[sa.RowMapping] = []
    for begin in range(0, len(numbers), IN_LIMIT):
        some = table.c.iteration.in_(numbers[begin : begin + IN_LIMIT])
        rows += connection.execute(table.select().where(mine, some).order_by(table.c.iteration)).mappings().all()
    return rows


def _broken(
    connection: sa.Connection, mine: sa.ColumnElement[bool], bucket: Folded
) -> Sequence[sa.Row[int, dict[str, str]]]:
    inside = table.c.iteration.between(bucket["first"], bucket["last"])
    query = sa.select(table.c.iteration, table.c.nonfinite).where(mine, inside)
    return connection.execute(query.where(table.c.nonfinite.is_not(None)).order_by(table.c.iteration)).all()


def _buckets(
    folded: Sequence[Folded], firsts: Sequence[sa.RowMapping], broken: Sequence[sa.Row[int, dict[str, str]]]
) -> Buckets:
    values = [unpack(row, BANDS) for row in firsts]
    counts = {name: [0] * len(folded) for name in BANDS}
    at = 0
    for number, names in broken:
        while folded[at]["last"] < number:
            at += 1
        for name in counts.keys() & names:
            counts[name][at] += 1
    bands = {
        name: Bucket(
            first=[value[name] for value in values],
            min=[bucket[f"min_{name}"] for bucket in folded],
            max=[bucket[f"max_{name}"] for bucket in folded],
            nonfinite=counts[name],
        )
        for name in BANDS
    }
    return Buckets(
        first_iteration=[bucket["first"] for bucket in folded], count=[bucket["size"] for bucket in folded], **bands
    )


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
