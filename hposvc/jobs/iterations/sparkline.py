"""The curve beside a job in a list: a few points of the upper loss, kept on the job's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hposvc.schema.numbers import to_json_number

POINTS = 32

Sparkline = list[list[Any]]  # [iteration, upper loss] pairs, ready for JSON


def extended(
    sparkline: Sparkline | None, rows: Sequence[Mapping[str, float | None]], iterations: int
) -> Sparkline | None:
    """``sparkline`` with those of the new ``rows`` that are far enough from the last point, for so many iterations.

    Points that the rows pass again, after a resume, are replaced.
    """
    begin = rows[0]["iteration"] or 0
    points = [point for point in sparkline or [] if point[0] < begin]
    distance = max(1, -(-iterations // POINTS))
    for row in rows:
        number, loss = row["iteration"] or 0, row["upper_loss"]
        if loss is not None and (not points or number - points[-1][0] >= distance):
            points.append([number, to_json_number(loss)])
    return points or None
