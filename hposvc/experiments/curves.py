"""How a trial comes along, at equal shares of its iterations: what pruners compare and the chart draws."""

from __future__ import annotations

import math

import sqlalchemy as sa

from hposvc.db.tables import iterations

SLICES = 27  # 3³: hyperband looks after 1, 3 and 9 of them
FIRST_LOOK = 9  # of successive halving: earlier looks stop the best trial more often (docs/decisions/experiments.md)


def reached(iteration: int, total: int) -> int:
    """How many slices are complete at an iteration."""
    return min(SLICES, iteration * SLICES // total)


def extended(
    connection: sa.Connection, job_id: str, iteration: int, total: int, curve: list[float] | None
) -> list[float]:
    """``curve`` with the slices that are complete by now: the lowest loss so far at the end of each.

    The selection loss counts, and where a job records none, the upper loss. A job that diverges before its first finite
    loss has an empty curve.
    """
    known = list(curve or [])
    until = reached(iteration, total)
    if until <= len(known):
        return known
    table = iterations
    place = (table.c.iteration - 1) * SLICES // total
    query = (
        sa.select(place.label("slice"), sa.func.min(table.c.selection_loss), sa.func.min(table.c.upper_loss))
        .where(
            table.c.job_id == job_id,
            table.c.iteration > end_of(len(known), total),
            table.c.iteration <= end_of(until, total),
        )
        .group_by(place)
    )
    lowest = {
        int(number): upper if selection is None else selection
        for number, selection, upper in connection.execute(query).all()
    }
    for number in range(len(known), until):
        here = lowest.get(number)
        before = known[-1] if known else None
        values = [value for value in (here, before) if value is not None]
        if not values:
            break
        known.append(min(values))
    return known


def end_of(slices: int, total: int) -> int:
    """The last iteration of so many slices, of ``total`` iterations."""
    return math.ceil(slices * total / SLICES)
