"""The arrays that a job takes out of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hposvc.schema.spec import ColumnSplit, DatasetSpec, TrustedColumn
from hposvc.tables.defects import DataError, Defect
from hposvc.tables.encoding import Encoding, fit, most_features
from hposvc.tables.kinds import Column, Kind
from hposvc.tables.revision import CHECKED as REVIEWED
from hposvc.tables.revision import CORRECTED
from hposvc.training_data.table import Array, Floats, Integers, Table, UploadedColumns, counted
from hposvc.training_data.targets import cautions_of, combined, holds_numbers, targets_of

# Beyond this a variance overflows float64.
LARGEST_VALUE = 1e100


@dataclass(frozen=True)
class Source:
    """The columns that the features of a data set are made of, by :meth:`Dataset.encoded`."""

    columns: Mapping[str, Column]
    kinds: Mapping[str, Kind]
    arrays: Mapping[str, Sequence[str]]
    distinct: Mapping[str, int | None]
    notations: Mapping[str, str]

    @property
    def widest(self) -> int:
        """The most features that they can become."""
        return sum(self._width(name, kind) for name, kind in self.kinds.items())

    def _width(self, name: str, kind: Kind) -> int:
        if kind == "array":
            return len(self.arrays[name])
        return most_features(kind, self.distinct[name])


@dataclass(frozen=True)
class Dataset:
    """What a job learns from: ``features`` (n, d) and one target per row.

    ``targets`` are class indices (int64) when ``classes`` names them, numbers (float64) otherwise. ``row_ids`` (n,)
    are what a person knows the rows by. ``parts`` (n,) says ``train``, ``validation`` or ``test`` for each row when
    the data brings its own split, ``trusted`` (n,) which labels were checked, where a column says so, and
    ``were_wrong`` (n,) which of them a review has corrected. ``groups`` (n,) are indices into ``group_names`` where
    groups of rows are weighted.
    ``image_shape`` is (height, width, channels) when the features are pixels, which are then in that order, the channel
    last. Features that are made of the columns of a ``source`` are empty (n, 0) until :meth:`encoded`; afterwards
    ``encoding`` says how each was made, and ``scaled`` (d,) which of them are to be standardized: all, if it is None.
    ``cautions`` are what a person should know of it, in sentences. ``reading`` says how the text of the file was read,
    and ``label_kind`` what the label was read as.
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
    trusted: NDArray[np.bool_] | None = None
    were_wrong: NDArray[np.bool_] | None = None
    groups: Integers | None = None
    group_names: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] | None = None
    id_name: str | None = None
    source: Source | None = None
    encoding: Encoding | None = None
    scaled: NDArray[np.bool_] | None = None
    cautions: tuple[str, ...] = ()
    reading: Mapping[str, Any] | None = None
    label_kind: Kind | None = None

    @property
    def width(self) -> int:
        """How many features there are, or at most will be."""
        return self.features.shape[1] if self.source is None or self.encoding else self.source.widest

    def encoded(self, training: Integers) -> Dataset:
        """The same with features, made as the ``training`` rows ask for. Raises DataError: nothing is left of them."""
        if self.source is None:
            return self
        source = self.source
        encoding = fit(source.columns, source.kinds, source.arrays, training, source.notations)
        if not encoding.features:
            reasons = "; ".join(f"{step.name!r} is {step.treatment}" for step in encoding.steps[:5])
            raise DataError([Defect("dataset.features", f"nothing is left to learn from: {reasons}", "name others")])
        features, _ = encoding.apply(source.columns)
        return replace(
            self, features=features, feature_names=encoding.features, encoding=encoding, scaled=encoding.scaled
        )

    @property
    def task(self) -> Literal["classification", "regression"]:
        """Whether the targets are classes or numbers."""
        return "regression" if self.classes is None else "classification"


def resolved(table: Table, spec: DatasetSpec) -> DatasetSpec:
    """``spec`` with the label and the column of ids that the table itself says. Raises DataError: no label."""
    label = spec.label or table.label
    if label is None:
        distinct = {} if table.uploaded is None else table.uploaded.distinct
        fit_for_it = [name for name, values in distinct.items() if values and 2 <= values < table.rows] or table.columns
        raise DataError(
            [
                Defect(
                    "dataset.label",
                    f"nobody said which column of {table.id} is to be predicted",
                    f"name one of {listed(fit_for_it)}",
                )
            ]
        )
    id_column = spec.id_column or (None if table.uploaded is None else table.uploaded.id_column)
    return spec.model_copy(update={"label": label, "id_column": None if id_column == label else id_column})


def select(table: Table, spec: DatasetSpec, group_columns: Sequence[str] = ()) -> Dataset:
    """Take the label, feature, id and split columns that ``spec`` names out of ``table``, and the columns of groups.

    Without ``spec.features`` every column that has no other role is a feature; of a bundled table, every numeric one.
    The groups may be the label or a feature too, if it is named as one: a weight per group learns nothing from a
    column. A label column of text, booleans or integers holds classes, one of floats holds numbers, unless
    ``spec.task`` says otherwise; uploaded integers of many values are numbers too. The columns of
    ``spec.categorical`` are read as text, so that each value becomes a feature. Raises DataError with all defects
    found.
    """
    spec = resolved(table, spec)
    label, uploaded = str(spec.label), table.uploaded
    roles = {"dataset.label": label}
    if spec.id_column is not None:
        roles["dataset.id_column"] = spec.id_column
    if isinstance(spec.split, ColumnSplit):
        roles["dataset.split.column"] = spec.split.column
    if spec.trusted == "reviewed":
        roles["dataset.trusted"] = _review_column(table)
    if isinstance(spec.trusted, TrustedColumn):
        roles["dataset.trusted.column"] = spec.trusted.column
    usable = _numeric(table) if uploaded is None else uploaded.features
    taken = {table.label, *group_columns, *roles.values()}
    features = spec.features if spec.features is not None else [name for name in usable if name not in taken]
    grouping = [("hyperparameters.group_column", column) for column in group_columns]
    _refuse(
        [
            *_unknown(table, [*roles.items(), *grouping], features),
            *_misused(table, roles, features),
            *_no_categories(table, spec.categorical or (), features),
        ]
    )

    row_ids = _row_ids(table, spec.id_column)
    _refuse(
        [
            *(defect for name in features if uploaded is None for defect in _unusable(table, name, "dataset.features")),
            *(_bad_label(uploaded, label) if uploaded is not None else ()),
            *(_unusable(table, label, "dataset.label") if uploaded is None and holds_numbers(table, label) else ()),
            *(_ambiguous(row_ids, spec.id_column) if spec.id_column is not None else ()),
        ]
    )

    targets, classes = targets_of(table, label, spec.task)
    groups, group_names = combined(table, group_columns)
    all_pixels = spec.features in (None, ["X"]) and label == table.label and {*group_columns} <= {table.label}
    arrays = [] if uploaded is None else [name for name in features if uploaded.kinds[name] == "array"]
    source = None
    if uploaded is not None:
        categories: set[str] = set(spec.categorical or ())
        kinds = {name: _kind(uploaded, name, categories) for name in features}
        source = Source(uploaded.columns, kinds, uploaded.arrays, uploaded.distinct, uploaded.notations)
        all_pixels = features == arrays
    return Dataset(
        id=table.id,
        name=table.name,
        features=np.empty((table.rows, 0)) if source else _matrix(table, features),
        feature_names=tuple(features),
        targets=targets,
        target_name=label,
        classes=classes,
        row_ids=row_ids,
        parts=_parts(table, spec),
        trusted=_trusted(table, spec),
        were_wrong=table.columns[_review_column(table)] == CORRECTED if spec.trusted == "reviewed" else None,
        groups=groups,
        group_names=group_names,
        image_shape=table.image_shape if all_pixels else None,
        id_name=spec.id_column,
        source=source,
        cautions=cautions_of(table, label, classes),
        reading=None if uploaded is None else uploaded.reading | {"label_notation": uploaded.notations.get(label)},
        label_kind=None if uploaded is None else uploaded.kinds[label],
    )


def _kind(uploaded: UploadedColumns, name: str, categories: set[str]) -> Kind:
    """What a column is as a feature."""
    if name in categories:
        return "text"
    return "free text" if name in uploaded.texts else uploaded.kinds[name]


def _numeric(table: Table) -> list[str]:
    return [name for name, values in table.columns.items() if np.issubdtype(values.dtype, np.number)]


def _matrix(table: Table, features: Sequence[str]) -> Floats:
    return np.column_stack([table.columns[name] for name in features]).astype(np.float64)


def _parts(table: Table, spec: DatasetSpec) -> Array | None:
    if isinstance(spec.split, ColumnSplit):
        return table.columns[spec.split.column].astype(str)
    return None if table.uploaded is None else table.uploaded.parts


CHECKED = ("true", "yes", "1", "1.0")
"""What a column says of a row whose label was checked and is right, in lower case."""


def _trusted(table: Table, spec: DatasetSpec) -> NDArray[np.bool_] | None:
    if spec.trusted == "reviewed":
        return np.isin(table.columns[_review_column(table)], REVIEWED)
    if not isinstance(spec.trusted, TrustedColumn):
        return None
    said = np.char.lower(np.char.strip(table.columns[spec.trusted.column].astype(str).astype(np.str_)))
    return np.isin(said, CHECKED)


def _review_column(table: Table) -> str:
    """The column that says what a review did. Raises DataError: no review made this data set."""
    column = None if table.uploaded is None else table.uploaded.review_column
    if column is None:
        raise DataError(
            [
                Defect(
                    "dataset.trusted",
                    f"no review made {table.id}",
                    "review its rows and name the version that comes of it, or use split, unknown or a column",
                )
            ]
        )
    return column


def _row_ids(table: Table, id_column: str | None) -> Array:
    if id_column is not None:
        return table.columns[id_column].astype(np.str_, copy=False)
    return counted(table)


def _bad_label(uploaded: UploadedColumns, label: str) -> Iterator[Defect]:
    kind, missing = uploaded.kinds[label], uploaded.missing[label]
    if kind not in ("integer", "number", "boolean", "text"):
        yield Defect("dataset.label", f"column {label!r} holds {kind}", "name a column of classes or numbers")
    elif missing:
        yield Defect(
            "dataset.label",
            f"column {label!r} is missing in {missing} rows",
            "fill it in, or leave those rows out by dataset.unlabelled: leave_out; the finished job can predict them",
        )


def _refuse(defects: list[Defect]) -> None:
    if defects:
        raise DataError(defects)


def _unknown(table: Table, named: Iterable[tuple[str, str]], features: list[str]) -> Iterator[Defect]:
    numbered = [(f"dataset.features.{position}", name) for position, name in enumerate(features)]
    for field, column in [*named, *numbered]:
        if column not in table.columns:
            yield Defect(
                field, f"there is no column {column!r} in {table.id}", f"the columns are {listed(table.columns)}"
            )


def _misused(table: Table, roles: Mapping[str, str], features: list[str]) -> Iterator[Defect]:
    if not features:
        yield Defect(
            "dataset.features",
            f"{table.id} has no numeric column left to learn from",
            "give it a numeric feature column",
        )
    for name, times in Counter(features).items():
        if times > 1:
            yield Defect("dataset.features", f"column {name!r} is named {times} times", "name each column once")
    for field, column in roles.items():
        if column in features:
            yield Defect(
                "dataset.features",
                f"column {column!r} is the {field} too",
                "leave it out: a model would learn it from itself",
            )


def _no_categories(table: Table, named: Sequence[str], features: list[str]) -> Iterator[Defect]:
    uploaded = table.uploaded
    for position, name in enumerate(named):
        field = f"dataset.categorical.{position}"
        if uploaded is None:
            yield Defect(field, "categorical applies only to uploaded data sets", "leave it out")
        elif name not in features:
            yield Defect(field, f"column {name!r} is no feature", f"name some of {listed(features)}")
        elif uploaded.kinds[name] in ("date", "array"):
            yield Defect(field, f"column {name!r} holds {uploaded.kinds[name]}", "name columns of codes or text")


def _ambiguous(row_ids: Array, column: str) -> Iterator[Defect]:
    if len(np.unique(row_ids)) < len(row_ids):
        yield Defect(
            "dataset.id_column",
            f"some values of column {column!r} stand in more than one row",
            "name a column of unique values, or leave it out",
        )


def _unusable(table: Table, name: str, field: str) -> Iterator[Defect]:
    values = table.columns[name]
    if not np.issubdtype(values.dtype, np.number):
        yield Defect(
            field,
            f"column {name!r} holds {values.dtype.name}, not numbers",
            "encode it as numbers, or leave it out of dataset.features",
        )
        return
    bad = int(np.sum(~(np.abs(values.astype(np.float64)) <= LARGEST_VALUE)))
    if bad:
        yield Defect(
            field,
            f"column {name!r} has {bad} values that are missing, infinite or beyond {LARGEST_VALUE:g}",
            "fill or drop those rows",
        )


def listed(names: Iterable[str], most: int = 20) -> str:
    """The first names, and how many more there are."""
    known = list(names)
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")
