"""Iterations in blocks of a hundred: their extremes are kept, so that a chart of a million need not read a million."""

from __future__ import annotations

import sqlalchemy as sa

from hposvc.db.tables import BANDS, iterations
from hposvc.db.tables import iteration_blocks as table
from hposvc.db.upsert import upsert

BLOCK = 100

FOLDED = (
    sa.func.min(iterations.c.iteration).label("first"),
    sa.func.max(iterations.c.iteration).label("last"),
    sa.func.count().label("size"),
    sa.func.count(iterations.c.nonfinite).label("nonfinite"),
    *(
        function(iterations.c[name]).label(f"{side}_{name}")
        for name in BANDS
        for side, function in (("min", sa.func.min), ("max", sa.func.max))
    ),
)
"""Some iterations as one row: their first and last number, how many, and what they reached."""


def fold(connection: sa.Connection, job_id: str, first: int, last: int) -> None:
    """Fold the blocks that the iterations from ``first`` to ``last``, just written, complete.

    The last block is not complete yet, unless an earlier attempt came further: then it is folded when it is again.
    """
    complete = (last + 1) // BLOCK
    connection.execute(table.delete().where(table.c.job_id == job_id, table.c.block.between(complete, last // BLOCK)))
    block = iterations.c.iteration // BLOCK
    if complete <= first // BLOCK:
        return
    stretch = iterations.c.iteration.between(first // BLOCK * BLOCK, complete * BLOCK - 1)
    query = (
        sa.select(iterations.c.job_id, block.label("block"), *FOLDED)
        .where(iterations.c.job_id == job_id, stretch)
        .group_by(iterations.c.job_id, block)
    )
    names = [column.name for column in table.c]
    connection.execute(upsert(connection, table).from_select(names, query))


def cut(connection: sa.Connection, job_id: str, last: int) -> None:
    """Forget the blocks with iterations beyond ``last``, which are gone."""
    connection.execute(table.delete().where(table.c.job_id == job_id, table.c.last > last))
