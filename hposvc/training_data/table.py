"""Tables of named columns, as they came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hposvc.tables.kinds import Column, Kind

Array = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class UploadedColumns:
    """The columns of uploaded data sets, before they become numbers, and what is known of them.

    ``columns`` are read when they are asked for. ``features`` are those without another role. ``missing`` and
    ``distinct`` count values. ``arrays`` names the numbers in columns of arrays. ``parts`` (rows,) says which part each
    row belongs to, when each part is a file of its own. ``cautions`` are what to know of the files;
    ``task_was_said``: whoever sent them said what the label holds. ``reading`` is how the text of the first was read,
    and ``notations`` how its columns are written. ``unlabelled`` says what becomes of rows without a label, unless the
    job does; ``left_out`` is how many of them were left out. ``review_column`` says what a review did to each label.
    ``texts`` are columns of free text.
    """

    columns: Mapping[str, Column]
    kinds: Mapping[str, Kind]
    arrays: Mapping[str, Sequence[str]]
    features: tuple[str, ...]
    missing: Mapping[str, int]
    distinct: Mapping[str, int | None]
    task: Literal["classification", "regression"] | None
    id_column: str | None
    rows: int
    parts: Array | None = None
    cautions: tuple[str, ...] = ()
    task_was_said: bool = False
    reading: dict[str, Any] = field(default_factory=dict)
    notations: Mapping[str, str] = field(default_factory=dict)
    unlabelled: Literal["refuse", "leave_out"] = "refuse"
    left_out: int = 0
    review_column: str | None = None
    texts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Table:
    """Named columns of equal length, as they came. ``categories`` names the values of integer-coded columns.

    All features are numbers, unless the table was ``uploaded``: then its columns become features once it is known which
    rows are for training. ``label`` is None where nobody said which column is to be predicted. ``names`` (rows,) are
    those of the rows, if they are not just counted.
    """

    id: str
    name: str
    columns: Mapping[str, Array]
    categories: Mapping[str, tuple[str, ...]]
    label: str | None
    image_shape: tuple[int, int, int] | None = None
    uploaded: UploadedColumns | None = None
    names: Array | None = None

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(next(iter(self.columns.values()))) if self.uploaded is None else self.uploaded.rows


def counted(table: Table) -> Array:
    """The names of rows that have no ids: their numbers from 0, in each part where each is a file of its own."""
    if table.names is not None:
        return table.names
    parts = None if table.uploaded is None else table.uploaded.parts
    if parts is None:
        return np.arange(table.rows).astype(np.str_)
    counts: Counter[str] = Counter()
    names = []
    for part in parts:
        names.append(str(counts[part]) if part == "train" else f"{part} {counts[part]}")
        counts[part] += 1
    return np.array(names)
