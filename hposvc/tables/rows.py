"""What all readers of files have in common: rows as batches of typed columns, and the most that is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.csv

from hposvc.tables.defects import DataError, Defect
from hposvc.tables.kinds import Kind

MOST_COLUMNS = 10_000
MOST_ROWS = 20_000_000
MOST_NUMBERS = 250_000_000  # rows × columns: two gigabytes as a job computes with them
LONGEST_NAME = 200
BATCH_ROWS = 16_384


@dataclass(frozen=True)
class RowReader:
    """The rows of a file: the ``kinds`` of its columns in order, and ``batches()`` of them, as often as asked.

    ``arrays`` are the names of the numbers within columns of arrays, ``image_shape`` their height, width and channels
    when they are pixels. ``roles`` are those that the format itself gives.
    """

    kinds: dict[str, Kind]
    batches: Callable[[], Iterator[pa.RecordBatch]]
    arrays: dict[str, list[str]] = field(default_factory=dict)
    image_shape: tuple[int, int, int] | None = None
    roles: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)  # columns of types that are no use, with the type
    notations: dict[str, str] = field(default_factory=dict)  # how text is written, by column (hposvc.tables.notation)
    read_as_missing: dict[str, dict[str, int]] = field(default_factory=dict)  # texts by column, and how often
    cautions: list[str] = field(default_factory=list)  # what a person should know of the file, in sentences


def refused(where: str, message: str, remedy: str) -> DataError:
    """The error of a single defect."""
    return DataError([Defect(where, message, remedy)])


def check_size(rows: int, columns: int) -> None:
    """Refuse more than a job could compute with. Raises DataError."""
    if rows > MOST_ROWS:
        raise refused("body", f"more than {MOST_ROWS:,} rows", "send fewer rows")
    if rows * columns > MOST_NUMBERS:
        raise refused("body", f"more than {MOST_NUMBERS:,} values", "send fewer rows or columns")


def check_names(names: list[str], or_else: str = "") -> None:
    """Refuse names of columns that nobody could point at; ``or_else`` is another remedy. Raises DataError."""
    defects = []
    for position, name in enumerate(names):
        place = f"columns.{position}"
        if not name:
            defects.append(Defect(place, f"column {position + 1} has no name", "give every column a name"))
        elif len(name) > LONGEST_NAME:
            defects.append(Defect(place, f"a name of {len(name)} characters", f"use at most {LONGEST_NAME}"))
        elif any(ord(character) < 32 for character in name):
            defects.append(Defect(place, f"the name {name!r} has control characters", "use printable ones"))
    twice = [name for name, times in Counter(names).items() if name and times > 1]
    defects += [
        Defect(
            f"columns.{name[:LONGEST_NAME]}",
            f"the name {name[:50]!r} stands twice in the header",
            f"name each column once{or_else}",
        )
        for name in twice
    ]
    if len(names) > MOST_COLUMNS:
        defects.append(
            Defect("body", f"{len(names):,} columns", f"send at most {MOST_COLUMNS:,}, or an NPZ file with an array X")
        )
    if defects:
        raise DataError(defects[:20])
