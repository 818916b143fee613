"""The label of a table as targets, the groups of its rows, and what to know of the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hposvc.tables.defects import DataError, Defect
from hposvc.tables.label import Label, are_whole, cautions, class_name
from hposvc.training_data.table import Array, Integers, Table, UploadedColumns


def holds_numbers(table: Table, column: str) -> bool:
    """Whether a column is of floats."""
    return np.issubdtype(table.columns[column].dtype, np.floating)


def targets_of(table: Table, label: str, task: str | None) -> tuple[Array, tuple[str, ...] | None]:
    """Indices of classes and what they are called, or numbers. ``task`` is what a person said. Raises DataError."""
    values, uploaded = table.columns[label], table.uploaded
    wanted = "regression" if holds_numbers(table, label) else "classification"
    if uploaded is not None:
        own = uploaded.task if label == table.label else None
        wanted = own or _described(uploaded, label).task(table.rows)
    wanted = task or wanted
    if wanted == "regression":
        if not np.issubdtype(values.dtype, np.number):
            message = f"column {label!r} holds {values.dtype.name}, which has no distances"
            raise DataError([Defect("dataset.task", message, "use task: classification")])
        return values.astype(np.float64), None
    return _coded(table, label)


def _described(uploaded: UploadedColumns, label: str) -> Label:
    kind = uploaded.kinds[label]
    whole = are_whole(uploaded.columns[label], kind)
    return Label(label, kind, uploaded.distinct[label] or 0, uploaded.missing[label], whole)


def cautions_of(table: Table, label: str, classes: tuple[str, ...] | None) -> tuple[str, ...]:
    """What to know of the files, and of this label where nobody said what it holds."""
    uploaded = table.uploaded
    if uploaded is None:
        return ()
    asked = uploaded.task_was_said and label == table.label
    described = replace(_described(uploaded, label), missing=uploaded.left_out)
    return (*uploaded.cautions, *cautions(described, classes, asked=asked))


def combined(table: Table, columns: Sequence[str]) -> tuple[Integers | None, tuple[str, ...]]:
    """The combinations of values of ``columns`` that there are, as indices and names; nothing without columns."""
    if len(columns) < 2:
        return _coded(table, columns[0]) if columns else (None, ())
    coded = [_coded(table, column) for column in columns]
    found, codes = np.unique(np.column_stack([values for values, _ in coded]), axis=0, return_inverse=True)
    names = [" · ".join(known[value] for value, (_, known) in zip(row, coded, strict=True)) for row in found.tolist()]
    return codes.reshape(-1).astype(np.int64), tuple(names)


def _coded(table: Table, column: str) -> tuple[Integers, tuple[str, ...]]:
    """The values of a column as indices, and what they stand for."""
    values = table.columns[column]
    if column in table.categories:
        return values.astype(np.int64), table.categories[column]
    known, codes = np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)
    return codes.astype(np.int64), tuple(class_name(value) for value in known.tolist())
