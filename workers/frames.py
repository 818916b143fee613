"""What the frames of a runner hold, checked: a runner computes with data that users chose, and may send anything."""

from __future__ import annotations

import json
from typing import Any

from hposvc.jobs.queries import METRICS
from hposvc.snapshots import Snapshot

MAX_SNAPSHOT = 1024 * 1024  # bytes of JSON


class Misbehaved(Exception):
    """The runner sent what it must not send."""


def rows_of(columns: dict[str, list[float | None]], last: int | None) -> list[dict[str, float | None]]:
    """The iterations of a frame as rows with ``iteration`` and METRICS; ``last`` is the number of the one before.

    Raises Misbehaved: columns of different lengths, a number left out, values that are not numbers.
    """
    names = ("iteration", *METRICS)
    try:
        rows = [
            dict(zip(names, values, strict=True))
            for values in zip(*(columns.get(name, [None] * len(columns["iteration"])) for name in names), strict=True)
        ]
    except ValueError as error:
        raise Misbehaved("columns of different lengths") from error
    for row in rows:
        number = row["iteration"]
        if not isinstance(number, int) or (last is not None and number != last + 1):
            raise Misbehaved(f"iteration {number!r} after iteration {last}")
        if not all(isinstance(row[name], (int, float, type(None))) for name in METRICS):
            raise Misbehaved(f"iteration {number} with values that are not numbers")
        last = number
    return rows


def snapshot_of(iteration: int, summary: dict[str, Any], detail: dict[str, Any]) -> Snapshot:
    """The snapshot of a frame. Raises Misbehaved: no iteration, too large."""
    size = len(json.dumps([summary, detail]))
    if not isinstance(iteration, int) or size > MAX_SNAPSHOT:
        raise Misbehaved(f"a snapshot of {size:,} bytes at iteration {iteration!r}")
    return Snapshot(iteration, summary, detail)
