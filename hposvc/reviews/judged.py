"""What is judged in a review: a column of labels, and the rows by the ids that people know."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hposvc.tables.defects import DataError, Defect
from hposvc.tables.kinds import Column, as_text
from hposvc.training_data import Upload, uploaded
from hposvc.training_data.dataset import listed
from hposvc.training_data.table import Table
from hposvc.training_data.targets import targets_of

MOST_NAMED = 20  # defects of one kind


@dataclass(frozen=True)
class Judged:
    """The ``label`` column of an uploaded data set, with its ``classes``; None if it holds numbers."""

    table: Table
    label: str
    classes: tuple[str, ...] | None

    @property
    def values(self) -> Column:
        """The labels as the file has them."""
        assert self.table.uploaded is not None  # noqa: S101 - only uploaded data sets are reviewed
        return self.table.uploaded.columns[self.label]

    def numbers(self, rows: Sequence[str]) -> list[int]:
        """The places of ``rows`` in the file, from 0. Raises DataError: there is no such row, or it is named twice."""
        uploaded_ = self.table.uploaded
        id_column = None if uploaded_ is None else uploaded_.id_column
        if id_column is None:
            found = [int(row) if row.isdecimal() and str(int(row[:18])) == row else self.table.rows for row in rows]
            places = [place if place < self.table.rows else None for place in found]
        else:
            places = pc.index_in(pa.array(list(rows), pa.string()), value_set=self._ids(id_column)).to_pylist()
        named = f"column {id_column!r}" if id_column else "their numbers from 0"
        defects = [
            Defect(f"decisions.{i}.row", f"there is no row {rows[i]!r}", f"name rows by {named}")
            for i, place in enumerate(places)
            if place is None
        ]
        twice = [row for row, times in Counter(rows).items() if times > 1]
        defects += [Defect("decisions", f"row {row!r} is named twice", "decide once") for row in twice]
        if defects:
            raise DataError(defects[:MOST_NAMED])
        return [place for place in places if place is not None]

    def _ids(self, column: str) -> Column:
        """The ids of the rows as jobs write them. Text is not copied: a single decision waits for this."""
        assert self.table.uploaded is not None  # noqa: S101 - only uploaded data sets are reviewed
        if self.table.uploaded.kinds[column] in ("text", "integer"):
            return as_text(self.table.uploaded.columns[column])
        return pa.array(self.table.columns[column].astype(np.str_))

    def require_labels(self, labels: Sequence[str | None]) -> None:
        """Refuse what the column cannot hold. Raises DataError."""
        known = None if self.classes is None else set(self.classes)
        defects = [
            Defect(
                f"decisions.{i}.relabelled_to",
                f"{label!r} is no class of column {self.label!r}" if known else f"{label!r} is no number",
                f"name one of {listed(self.classes or ())}" if known else "send a finite number",
            )
            for i, label in enumerate(labels)
            if label is not None and not (_is_number(label) if known is None else label in known)
        ]
        if defects:
            raise DataError(defects[:MOST_NAMED])


def judged(upload: Upload, label: str | None, task: str | None = None) -> Judged:
    """The column ``label`` of a data set, by default its own label. Raises DataError: there is no such column."""
    table = uploaded.table([upload])
    label = label or table.label
    if label is None or label not in table.columns:
        wrong = "nobody said which column is judged" if label is None else f"there is no column {label!r}"
        raise DataError([Defect("label", wrong, f"name one of {listed(table.columns)}")])
    if is_described(upload, label, task):
        known = upload.description.get("classes")
        return Judged(table, label, None if known is None else tuple(known))
    return Judged(table, label, targets_of(uploaded.labelled(table, label, "leave_out"), label, task)[1])


def is_described(upload: Upload, label: str | None, task: str | None) -> bool:
    """Whether the description says what the column ``label`` holds: then its values need not be looked at."""
    own = upload.description["target"]
    said = upload.description.get("classes") is not None or upload.description["task"] == "regression"
    return own is not None and label in (None, own) and task in (None, upload.description["task"]) and said


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
