"""Tables of named columns, and the arrays that a job takes out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hposvc.data.problems import DataError, Problem
from hposvc.jobs.spec import ColumnSplit, DatasetSpec

Array = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Beyond this a variance overflows float64.
LARGEST_VALUE = 1e100


@dataclass(frozen=True)
class Table:
    """Named columns of equal length, as they came. ``categories`` names the values of integer-coded columns."""

    id: str
    name: str
    columns: Mapping[str, Array]
    categories: Mapping[str, tuple[str, ...]]
    label: str
    image_shape: tuple[int, int, int] | None = None

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True)
class Dataset:
    """What a job learns from: ``features`` (n, d) and one target per row.

    ``targets`` are class indices (int64) when ``classes`` names them, numbers (float64) otherwise. ``row_ids`` (n,)
    are what a person knows the rows by. ``parts`` (n,) says ``train``, ``validation`` or ``test`` for each row when
    the data brings its own split. ``groups`` (n,) are indices into ``group_names`` where groups of rows are weighted.
    ``image_shape`` is (height, width, channels) when the features are pixels, which are then in that order, the channel
    last.
    """

    id: str
    name: str
    features: Floats
    feature_names: tuple[str, ...]
    targets: Array
    target_name: str
    classes: tuple[str, ...] | None
    row_ids: Array
    parts: Array | None = None
    groups: Integers | None = None
    group_names: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] | None = None

    @property
    def task(self) -> Literal["classification", "regression"]:
        """Whether the targets are classes or numbers."""
        return "regression" if self.classes is None else "classification"


def select(table: Table, spec: DatasetSpec, group_column: str | None = None) -> Dataset:
    """Take the label, feature, id and split columns that ``spec`` names out of ``table``, and the column of groups.

    Without ``spec.features`` every numeric column that has no other role is a feature. The groups may be the label or
    a feature too, if it is named as one: a weight per group learns nothing from a column. A label column of text,
    booleans or integers holds classes, one of floats holds numbers. Raises DataError with all problems found.
    """
    roles = {"dataset.label": spec.label}
    if spec.id_column is not None:
        roles["dataset.id_column"] = spec.id_column
    if isinstance(spec.split, ColumnSplit):
        roles["dataset.split.column"] = spec.split.column
    features = (
        spec.features
        if spec.features is not None
        else [
            name
            for name, values in table.columns.items()
            if name not in {table.label, group_column, *roles.values()} and np.issubdtype(values.dtype, np.number)
        ]
    )
    grouping = {} if group_column is None else {"hyperparameters.group_column": group_column}
    _refuse([*_unknown(table, roles | grouping, features), *_misused(table, roles, features)])

    row_ids = np.array(
        [str(value) for value in (range(table.rows) if spec.id_column is None else table.columns[spec.id_column])]
    )
    _refuse(
        [
            *(problem for name in features for problem in _unusable(table, name, "dataset.features")),
            *(_unusable(table, spec.label, "dataset.label") if _holds_numbers(table, spec.label) else ()),
            *_ambiguous(row_ids, spec.id_column),
        ]
    )

    targets, classes = _targets(table, spec.label)
    groups, group_names = (None, ()) if group_column is None else _coded(table, group_column)
    all_pixels = spec.features is None and spec.label == table.label and group_column in {None, table.label}
    return Dataset(
        id=table.id,
        name=table.name,
        features=np.column_stack([table.columns[name] for name in features]).astype(np.float64),
        feature_names=tuple(features),
        targets=targets,
        target_name=spec.label,
        classes=classes,
        row_ids=row_ids,
        parts=table.columns[spec.split.column].astype(str) if isinstance(spec.split, ColumnSplit) else None,
        groups=groups,
        group_names=group_names,
        image_shape=table.image_shape if all_pixels else None,
    )


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise DataError(problems)


def _unknown(table: Table, roles: Mapping[str, str], features: list[str]) -> Iterator[Problem]:
    numbered = {f"dataset.features.{position}": name for position, name in enumerate(features)}
    for field, column in {**roles, **numbered}.items():
        if column not in table.columns:
            yield Problem(
                field, f"there is no column {column!r} in {table.id}", f"the columns are {listed(table.columns)}"
            )


def _misused(table: Table, roles: Mapping[str, str], features: list[str]) -> Iterator[Problem]:
    if not features:
        yield Problem(
            "dataset.features",
            f"{table.id} has no numeric column left to learn from",
            "give it a numeric feature column",
        )
    for name, times in Counter(features).items():
        if times > 1:
            yield Problem("dataset.features", f"column {name!r} is named {times} times", "name each column once")
    for field, column in roles.items():
        if column in features:
            yield Problem(
                "dataset.features",
                f"column {column!r} is the {field} too",
                "leave it out: a model would learn it from itself",
            )


def _ambiguous(row_ids: Array, column: str | None) -> Iterator[Problem]:
    if len(np.unique(row_ids)) < len(row_ids):
        yield Problem(
            "dataset.id_column",
            f"some values of column {column!r} stand in more than one row",
            "name a column of unique values, or leave it out",
        )


def _holds_numbers(table: Table, column: str) -> bool:
    return np.issubdtype(table.columns[column].dtype, np.floating)


def _targets(table: Table, label: str) -> tuple[Array, tuple[str, ...] | None]:
    values = table.columns[label]
    if _holds_numbers(table, label):
        return values.astype(np.float64), None
    return _coded(table, label)


def _coded(table: Table, column: str) -> tuple[Integers, tuple[str, ...]]:
    """The values of a column as indices, and what they stand for."""
    values = table.columns[column]
    if column in table.categories:
        return values.astype(np.int64), table.categories[column]
    known, codes = np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)
    return codes.astype(np.int64), tuple(str(value) for value in known)


def _unusable(table: Table, name: str, field: str) -> Iterator[Problem]:
    values = table.columns[name]
    if not np.issubdtype(values.dtype, np.number):
        yield Problem(
            field,
            f"column {name!r} holds {values.dtype.name}, not numbers",
            "encode it as numbers, or leave it out of dataset.features",
        )
        return
    bad = int(np.sum(~(np.abs(values.astype(np.float64)) <= LARGEST_VALUE)))
    if bad:
        yield Problem(
            field,
            f"column {name!r} has {bad} values that are missing, infinite or beyond {LARGEST_VALUE:g}",
            "fill or drop those rows",
        )


def listed(names: Iterable[str], most: int = 20) -> str:
    """The first names, and how many more there are."""
    known = list(names)
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")
