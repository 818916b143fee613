"""Numbers that may be non-finite, in columns that cannot hold them.

SQLite turns NaN into NULL, and NULL already means "not measured". So a number that is not finite leaves its column
NULL and is named in the column ``nonfinite`` of the same row: ``{"upper_loss": "NaN"}``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import RowMapping


def pack(values: Mapping[str, float | None]) -> dict[str, Any]:
    """The columns that keep ``values``: finite numbers as they are, and ``nonfinite`` for the rest."""
    columns: dict[str, Any] = {}
    nonfinite: dict[str, str] = {}
    for name, value in values.items():
        columns[name] = value
        if value is not None and not math.isfinite(value):
            columns[name] = None
            nonfinite[name] = str(value)
    return columns | {"nonfinite": nonfinite or None}


def unpack(row: RowMapping, names: Iterable[str]) -> dict[str, float | None]:
    """The inverse of ``pack`` for the columns ``names`` of a row."""
    nonfinite = row["nonfinite"] or {}
    return {name: float(nonfinite[name]) if name in nonfinite else row[name] for name in names}
