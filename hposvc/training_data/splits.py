"""Dividing the rows of a data set, and standardizing them by what the training rows say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hposvc.schema.spec import ColumnSplit, FilesSplit, JobSpec, RandomSplit
from hposvc.tables.defects import DataError, Defect
from hposvc.training_data.dataset import Dataset
from hposvc.training_data.table import Array, Floats, Integers

# Fewer rows than this cannot say which of two hyperparameters is better.
FEWEST_ROWS = 4

# Of the validation rows where that makes enough selection rows, and none otherwise: a few rows choose by luck.
AUTOMATIC_SELECTION, FEWEST_SELECTION_ROWS = 0.3, 30

NUMBERS = "; if the labels are numbers and no classes, say dataset.task: regression (hposvc tune --task regression)"


@dataclass(frozen=True)
class Scaling:
    """Standardization by the training rows: x ↦ (x − mean) / scale per feature, and the same for numeric targets.

    A constant feature has scale 1 and becomes 0; one that stands for a category has mean 0 and scale 1. Targets that
    are classes have mean 0 and scale 1.
    """

    mean: Floats
    scale: Floats
    target_mean: float = 0.0
    target_scale: float = 1.0

    def features(self, features: Floats) -> Floats:
        """Standardize ``features`` (m, d)."""
        return (features - self.mean) / self.scale

    def targets(self, targets: Array) -> Array:
        """Standardize numeric ``targets`` (m,); classes stay as they are."""
        if np.issubdtype(targets.dtype, np.integer):
            return targets
        return (targets - self.target_mean) / self.target_scale


@dataclass(frozen=True)
class Part:
    """Some rows of a data set: standardized ``features`` (m, d), ``targets`` (m,), and their indices ``rows`` (m,)."""

    features: Floats
    targets: Array
    rows: Integers

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Splits:
    """The rows of a job by the part they play.

    ``train`` shapes the model, ``validation`` the hyperparameters. ``selection`` was carved out of the validation rows:
    it never enters a hypergradient and decides which answer is handed over. ``test`` only scores.
    """

    train: Part
    validation: Part
    selection: Part | None
    test: Part
    scaling: Scaling


@dataclass(frozen=True)
class RowIndices:
    """Row indices by part, before anything is computed from them."""

    train: Integers
    validation: Integers
    selection: Integers
    test: Integers


def divide(dataset: Dataset, spec: JobSpec) -> RowIndices:
    """Divide the rows as ``spec.data.split`` says, then carve the selection rows out of the validation rows.

    Random divisions are stratified by class and depend on the split's seed only. Raises DataError with all defects.
    """
    split = spec.data.split
    if isinstance(split, RandomSplit):
        rows = _at_random(dataset, split) if dataset.trusted is None else _as_checked(dataset, spec, split)
    else:
        rows = _as_marked(dataset, split)
    seed = split.seed if isinstance(split, RandomSplit) else 0
    rows = _carve_selection(dataset, rows, spec.hyperparameters.selection, seed)
    defects = _missing(dataset, rows)
    if defects:
        raise DataError(defects)
    return rows


def standardize(dataset: Dataset, rows: RowIndices, train_targets: Array) -> Splits:
    """Build the parts, with ``train_targets`` (len(rows.train),) in the place of the training rows' own targets."""
    from sklearn.preprocessing import StandardScaler  # here: it takes a second

    statistics = StandardScaler().fit(dataset.features[rows.train])
    scaled = np.ones(dataset.features.shape[1], dtype=bool) if dataset.scaled is None else dataset.scaled
    numbers = dataset.task == "regression"
    deviation = float(np.std(train_targets)) if numbers else 0.0
    scaling = Scaling(
        mean=np.where(scaled, statistics.mean_, 0.0),
        scale=np.where(scaled, statistics.scale_, 1.0),
        target_mean=float(np.mean(train_targets)) if numbers else 0.0,
        target_scale=deviation if deviation > 0 else 1.0,
    )

    def part(indices: Integers, targets: Array) -> Part:
        return Part(scaling.features(dataset.features[indices]), scaling.targets(targets), indices)

    return Splits(
        train=part(rows.train, train_targets),
        validation=part(rows.validation, dataset.targets[rows.validation]),
        selection=part(rows.selection, dataset.targets[rows.selection]) if len(rows.selection) else None,
        test=part(rows.test, dataset.targets[rows.test]),
        scaling=scaling,
    )


def _as_marked(dataset: Dataset, split: ColumnSplit | FilesSplit) -> RowIndices:
    marked = isinstance(split, ColumnSplit)
    field = "dataset.split.column" if marked else "dataset.split"
    source = f"column {split.column!r}" if isinstance(split, ColumnSplit) else "the data sets"
    parts = dataset.parts if dataset.parts is not None else np.array([])
    least = {"train": FEWEST_ROWS, "validation": FEWEST_ROWS, "test": 1}
    unknown = sorted(set(np.unique(parts)) - set(least))
    if unknown:
        raise DataError(
            [
                Defect(
                    field,
                    f"{source} says {', '.join(unknown[:5])}",
                    "write train, validation or test in every row",
                )
            ]
        )
    rows = {part: np.flatnonzero(parts == part) for part in least}
    few = [
        Defect(
            field,
            f"{source} gives {len(rows[part])} rows to {part}",
            f"mark at least {fewest} rows as {part}" if marked else f"send at least {fewest} rows for {part}",
        )
        for part, fewest in least.items()
        if len(rows[part]) < fewest
    ]
    if few:
        raise DataError(few)
    return RowIndices(rows["train"], rows["validation"], np.array([], dtype=np.int64), rows["test"])


def _at_random(dataset: Dataset, split: RandomSplit) -> RowIndices:
    _require_rows_per_class(dataset, 3, "dataset.split", "one row for each part")
    total = len(dataset.targets)
    validation, test = round(split.validation * total), round(split.test * total)
    _require_part(dataset, "dataset.split.validation", validation, max(FEWEST_ROWS, _classes(dataset)))
    _require_part(dataset, "dataset.split.test", test, max(1, _classes(dataset)))
    _require_part(dataset, "dataset.split.train", total - validation - test, max(FEWEST_ROWS, _classes(dataset)))
    rest, test_rows = _separate(dataset, np.arange(total), test, split.seed)
    train_rows, validation_rows = _separate(dataset, rest, validation, split.seed)
    return RowIndices(train_rows, validation_rows, np.array([], dtype=np.int64), test_rows)


def _as_checked(dataset: Dataset, spec: JobSpec, split: RandomSplit) -> RowIndices:
    """Rows that were checked validate and test, in the ratio of ``split``; all others are for training.

    Of rows that a review checked only a fraction ``split.test`` tests: it cost people's time, and the others teach.
    """
    trusted = np.zeros(len(dataset.targets), dtype=bool) if dataset.trusted is None else dataset.trusted
    checked, others = np.flatnonzero(trusted), np.flatnonzero(~trusted)
    share = split.test if spec.data.trusted == "reviewed" else split.test / (split.validation + split.test)
    test = max(1, round(len(checked) * share))
    field = "dataset.trusted"
    few = [
        (len(others), "training", "leave more rows unmarked"),
        (len(checked) - test, "validation", "check more rows"),
    ]
    defects = [
        Defect(field, f"this leaves {count} rows for {part}", f"{remedy}: at least {FEWEST_ROWS} are needed")
        for count, part, remedy in few
        if count < FEWEST_ROWS
    ]
    if defects:
        raise DataError(defects)
    validation, test_rows = _separate(dataset, checked, test, split.seed)
    return RowIndices(others, validation, np.array([], dtype=np.int64), test_rows)


def _carve_selection(dataset: Dataset, rows: RowIndices, fraction: float | Literal["auto"], seed: int) -> RowIndices:
    if fraction == "auto":
        enough = AUTOMATIC_SELECTION * len(rows.validation) >= FEWEST_SELECTION_ROWS
        fraction = AUTOMATIC_SELECTION if enough else 0
    if fraction == 0:
        return rows
    selection = round(fraction * len(rows.validation))
    remaining = len(rows.validation) - selection
    if min(selection, remaining) < FEWEST_ROWS:
        raise DataError(
            [
                Defect(
                    "hyperparameters.selection",
                    f"{fraction:g} of {len(rows.validation)} validation rows leaves {remaining} to tune on, "
                    f"{selection} to select on",
                    f"leave at least {FEWEST_ROWS} rows on either side, or use auto",
                )
            ]
        )
    tuning, selecting = _separate(dataset, rows.validation, selection, seed)
    return RowIndices(rows.train, tuning, selecting, rows.test)


def _separate(dataset: Dataset, rows: Integers, second: int, seed: int) -> tuple[Integers, Integers]:
    """Move ``second`` of ``rows`` into a second part, stratified by class where each class can be in both parts."""
    labels = dataset.targets[rows]
    stratify = None
    if dataset.task == "classification":
        counts = np.unique(labels, return_counts=True)[1]
        if counts.min() >= 2 and min(second, len(rows) - second) >= len(counts):
            stratify = labels
    from sklearn.model_selection import train_test_split  # here: it takes a second

    first_rows, second_rows = train_test_split(rows, test_size=second, random_state=seed, stratify=stratify)
    return first_rows, second_rows


def _classes(dataset: Dataset) -> int:
    return len(dataset.classes or ())


def _require_rows_per_class(dataset: Dataset, least: int, field: str, why: str) -> None:
    if dataset.classes is None:
        return
    counts = np.bincount(dataset.targets, minlength=len(dataset.classes))
    few = [f"{name} ({count})" for name, count in zip(dataset.classes, counts, strict=True) if count < least]
    if few:
        raise DataError(
            [
                Defect(
                    field,
                    f"these classes have too few rows: {', '.join(few[:5])}"
                    + (f" and {len(few) - 5} more" if len(few) > 5 else ""),
                    f"give every class at least {least} rows, {why}, or drop the class"
                    + (NUMBERS if all(name.lstrip("-").isdecimal() for name in dataset.classes) else ""),
                )
            ]
        )


def _require_part(dataset: Dataset, field: str, rows: int, least: int) -> None:
    if rows < least:
        raise DataError(
            [
                Defect(
                    field,
                    f"this leaves {rows} of {len(dataset.targets)} rows",
                    f"choose a division that leaves at least {least}",
                )
            ]
        )


def _missing(dataset: Dataset, rows: RowIndices) -> list[Defect]:
    """Classes that the model would have to predict without ever having seen a row of them."""
    if dataset.classes is None:
        return []
    counts = np.bincount(dataset.targets[rows.train], minlength=len(dataset.classes))
    return [
        Defect(
            "dataset.split",
            f"class {dataset.classes[index]!r} has no training rows",
            "give the training rows a larger part, or drop the class",
        )
        for index in np.flatnonzero(counts == 0)
    ]
