"""Uploaded data sets: Parquet files with a description, whose columns are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hposvc.tables.defects import DataError, Defect
from hposvc.tables.kinds import Column, Kind, as_text, kind_of
from hposvc.training_data.dataset import listed
from hposvc.training_data.table import Array, Table, UploadedColumns, counted

Value = TypeVar("Value")

STRETCH = 10_000  # rows


@dataclass(frozen=True)
class Upload:
    """One uploaded set: its ``description`` (see ``hposvc.tables.describe``), and how to open its Parquet file."""

    id: str
    name: str
    description: Mapping[str, Any]
    open: Callable[[], BinaryIO | Any]


class _Lazy(Mapping[str, Value]):
    """Values by name, each made when it is asked for, and not kept."""

    def __init__(self, names: Iterable[str], made: Callable[[str], Value]) -> None:
        self._names = dict.fromkeys(names)
        self._made = made

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        return self._made(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _column(uploads: Sequence[Upload], name: str, kind: Kind) -> Column:
    """A column of one Parquet file after the other."""
    pieces = []
    for upload in uploads:
        with upload.open() as file:
            pieces.append(pq.ParquetFile(file).read([name], use_threads=False).column(0))
    if len({piece.type for piece in pieces}) > 1:
        pieces = [as_text(piece) if kind == "text" else piece.cast(pa.float64()) for piece in pieces]
    return pa.chunked_array([chunk for piece in pieces for chunk in piece.chunks], pieces[0].type)


def _array(column: Column) -> Array:
    """A column as integers, floats with NaN, booleans, or text."""
    kind = kind_of(column.type)
    if kind == "number" or (kind == "integer" and column.null_count):
        return np.asarray(column.cast(pa.float64()).to_numpy())
    if kind in ("integer", "boolean") and not column.null_count:
        return np.asarray(column.to_numpy())
    return _words(column)


def _arrays(columns: Mapping[str, Column]) -> Mapping[str, Array]:
    return _Lazy(columns, lambda name: _array(columns[name]))


def labelled(table: Table, label: str, unlabelled: str | None) -> Table:
    """``table`` without the rows that have no ``label``, if those are to be left out; the others keep their names.

    ``unlabelled`` is what the job says of them.
    """
    uploaded = table.uploaded
    if uploaded is None or (unlabelled or uploaded.unlabelled) != "leave_out" or not uploaded.missing.get(label):
        return table
    kept = pc.is_valid(uploaded.columns[label])
    mask = np.asarray(kept.to_numpy(), dtype=bool)
    columns = _Lazy(uploaded.columns, lambda name: uploaded.columns[name].filter(kept))
    known = replace(
        uploaded,
        columns=columns,
        missing={**uploaded.missing, label: 0},
        rows=int(mask.sum()),
        parts=None if uploaded.parts is None else uploaded.parts[mask],
        left_out=uploaded.missing[label],
    )
    return replace(table, columns=_arrays(columns), uploaded=known, names=counted(table)[mask])


def _words(column: Column) -> Array:
    """A column as text, a stretch of rows at a time: as strings of Python all of it would be ten times as large."""
    text = pc.fill_null(as_text(column), "")
    stretches = [text.slice(begin, STRETCH) for begin in range(0, len(text), STRETCH)]
    return np.concatenate([np.array(part.to_pylist(), dtype=np.str_) for part in stretches] or [np.empty(0, np.str_)])


def table(uploads: Sequence[Upload]) -> Table:
    """One table of the rows of ``uploads``, in order: those for training, then any for validation and for test.

    The columns are those of the first. Raises DataError: a column of it is missing in another, or of another kind
    there.
    """
    first, *others = uploads
    kinds = _kinds(first)
    fields = ("dataset.split.validation", "dataset.split.test")
    for field, other in zip(fields, others, strict=False):
        _join(kinds, _kinds(other), other, field)
        if other.description["arrays"] != first.description["arrays"]:
            raise DataError(
                [Defect(field, f"the arrays of {other.id} have another shape", "store X alike in all files")]
            )
    columns = _Lazy(kinds, lambda name: _column(uploads, name, kinds[name]))
    rows = [int(upload.description["rows"]) for upload in uploads]
    described = {column["name"]: column for column in first.description["columns"]}
    shape = first.description["image_shape"]
    return Table(
        id=first.id,
        name=first.name,
        columns=_arrays(columns),
        categories={},
        label=first.description["target"],
        image_shape=None if shape is None else (shape[0], shape[1], shape[2]),
        uploaded=UploadedColumns(
            columns=columns,
            kinds=kinds,
            arrays=first.description["arrays"],
            features=tuple(name for name in kinds if described[name]["role"] == "feature"),
            missing={name: sum(_missing(upload, name) for upload in uploads) for name in kinds},
            distinct={name: described[name]["distinct"] for name in kinds},
            task=first.description["task"],
            id_column=first.description["id_column"] if not others else None,
            rows=sum(rows),
            parts=np.repeat(["train", "validation", "test"][: len(rows)], rows) if others else None,
            cautions=_cautions(uploads),
            task_was_said=bool(first.description.get("task_was_said")),
            reading=dict(first.description.get("reading", {})),
            notations=first.description.get("notations", {}),
            unlabelled=first.description.get("unlabelled", "refuse"),
            review_column=first.description.get("review_column"),
            texts=frozenset(first.description.get("texts", ())),
        ),
    )


def _cautions(uploads: Sequence[Upload]) -> tuple[str, ...]:
    """What to know of the files; of several, with the name of each. Those of earlier releases say nothing."""
    said = [(upload.name, text) for upload in uploads for text in upload.description.get("cautions", ())]
    return tuple(text if len(uploads) == 1 else f"{name}: {text}" for name, text in said)


def _kinds(upload: Upload) -> dict[str, Kind]:
    arrays = upload.description["arrays"]
    return {
        column["name"]: "array" if column["name"] in arrays else column["dtype"]
        for column in upload.description["columns"]
        if column["name"] in arrays or column["dtype"] in ("integer", "number", "boolean", "date", "text", "empty")
    }


def _missing(upload: Upload, name: str) -> int:
    return next(int(column["missing"]) for column in upload.description["columns"] if column["name"] == name)


def _join(kinds: dict[str, Kind], others: Mapping[str, Kind], upload: Upload, field: str) -> None:
    """Let ``kinds`` hold what both files can be read as."""
    absent = [name for name in kinds if name not in others]
    if absent:
        raise DataError(
            [Defect(field, f"{upload.id} has no column {listed(absent)}", "give all files the same columns")]
        )
    for name, kind in kinds.items():
        other = others[name]
        if other in (kind, "empty"):
            continue
        if {kind, other} == {"integer", "number"}:
            kinds[name] = "number"
        elif kind == "empty":
            kinds[name] = other
        else:
            message = f"column {name!r} holds {other} in {upload.id} and {kind} in the training rows"
            raise DataError([Defect(field, message, "write it alike in all files")])
