"""Columns as features: fitted to the training rows once, written down, and repeated for every row that comes later.

Numbers and dates are standardized later, by whoever trains; what is missing becomes the median, and a feature of its
own says where. A category becomes one feature per value, of two values one; rare ones share a feature, and so do those
that come later and were never seen. Free text becomes features of its words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hposvc.tables.defects import DataError, Defect
from hposvc.tables.free_text import MOST_DIMENSIONS, Text, fit_text
from hposvc.tables.kinds import Column, Floats, Kind, UnfitValueError, as_numbers, as_text, kind_of, parsed

MOST_CATEGORIES = 50
FEWEST_OF_A_CATEGORY = 3  # training rows; rarer ones share a feature
OTHER = "(other)"
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Numeric:
    """A column of numbers: ``fill`` stands for a missing one, and ``indicator`` adds a feature that says where."""

    name: str
    kind: Kind
    fill: float
    indicator: bool
    notation: str | None = None  # how it is written where it comes as text

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        return [self.name, f"{self.name} is missing"] if self.indicator else [self.name]

    @property
    def scaled(self) -> list[bool]:
        """Which of them are standardized."""
        return [self.kind != "boolean", False][: len(self.features)]

    @property
    def treatment(self) -> str:
        """What is done, in words."""
        done = {"boolean": "0 or 1", "date": "days since 1970, standardized"}.get(self.kind, "standardized")
        return f"{done}; missing becomes {self.fill:.6g}, with a feature that says where" if self.indicator else done

    def apply(self, column: Column) -> tuple[Floats, int]:
        """The features (n, 1 or 2), and how many values were not known: none."""
        values = as_numbers(column, self.kind, self.notation)
        missing = ~np.isfinite(values)
        filled = np.where(missing, self.fill, values)
        return np.column_stack([filled, missing] if self.indicator else [filled]).astype(np.float64), 0


@dataclass(frozen=True)
class Categorical:
    """A column of categories: a feature for each of ``values``, of two values for the second only.

    ``other`` has a feature for all that were rare among the training rows, ``missing`` one for no value.
    """

    name: str
    values: tuple[str, ...]
    other: bool
    missing: bool
    kind: Kind = "text"  # of the column, whose values may be codes
    notation: str | None = None

    @property
    def _shown(self) -> tuple[str, ...]:
        pair = len(self.values) == 2 and not self.other and not self.missing
        return self.values[1:] if pair else self.values

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        shown = [f"{self.name} = {value}" for value in self._shown]
        return [*shown, *[f"{self.name} = {OTHER}"] * self.other, *[f"{self.name} is missing"] * self.missing]

    @property
    def scaled(self) -> list[bool]:
        """None is standardized."""
        return [False] * len(self.features)

    @property
    def treatment(self) -> str:
        """What is done, in words."""
        extra = [", one for all others"] * self.other + [", one for missing"] * self.missing
        return f"one feature for each of {len(self.values)} categories{''.join(extra)}"

    def _as_in_training(self, column: Column) -> Column:
        """Codes that come as text, as the numbers that they were; as they are, if some are no numbers."""
        if self.kind == "text" or kind_of(column.type) != "text":
            return column
        try:
            return parsed(column, self.kind, self.notation)
        except UnfitValueError:
            return column

    def apply(self, column: Column) -> tuple[Floats, int]:
        """The features, and how many values were not among the training rows."""
        text = as_text(self._as_in_training(column))
        codes = pc.index_in(text, value_set=pa.array(self.values, pa.string()))
        absent = np.asarray(pc.is_null(text).to_numpy(zero_copy_only=False), dtype=bool)
        index = np.asarray(pc.fill_null(codes, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
        unknown = (index < 0) & ~absent
        first = len(self.values) - len(self._shown)
        features = np.zeros((len(index), len(self.features)))
        features[:, : len(self._shown)] = index[:, None] == np.arange(first, len(self.values))
        if self.other:
            features[unknown, len(self._shown)] = 1
        if self.missing:
            features[absent, -1] = 1
        return features, 0 if self.other else int(unknown.sum())


@dataclass(frozen=True)
class Block:
    """A column of arrays, such as images: every number is a feature. ``fill`` (d,) stands for missing ones."""

    name: str
    names: tuple[str, ...]
    fill: tuple[float, ...] | None = None

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        return list(self.names)

    @property
    def scaled(self) -> list[bool]:
        """All of them are standardized."""
        return [True] * len(self.names)

    @property
    def treatment(self) -> str:
        """What is done, in words."""
        return f"{len(self.names)} numbers, standardized" + ("; missing becomes the median" if self.fill else "")

    def apply(self, column: Column) -> tuple[Floats, int]:
        """The features (n, d)."""
        values = block(column)
        if values.shape[1] != len(self.names):
            raise UnfitValueError(0, f"{values.shape[1]} numbers instead of {len(self.names)}")
        return np.where(np.isfinite(values), values, self.fill or 0.0), 0


@dataclass(frozen=True)
class Dropped:
    """A column that no feature is made of, and why."""

    name: str
    reason: str

    features: tuple[str, ...] = ()
    scaled: tuple[bool, ...] = ()

    @property
    def treatment(self) -> str:
        """Why."""
        return f"dropped: {self.reason}"


Step = Numeric | Categorical | Block | Text | Dropped
_STEPS: dict[str, Any] = {"numeric": Numeric, "categorical": Categorical, "block": Block, "dropped": Dropped}
_TEXT = "text"


@dataclass(frozen=True)
class Encoding:
    """What is done to each column, in order. The same for training and for every prediction."""

    steps: tuple[Step, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features that come out."""
        return tuple(name for step in self.steps for name in step.features)

    @property
    def scaled(self) -> NDArray[np.bool_]:
        """Which features are standardized; the others stay 0 and 1."""
        return np.array([scaled for step in self.steps for scaled in step.scaled], dtype=bool)

    def apply(self, columns: Mapping[str, Column]) -> tuple[Floats, list[str]]:
        """The features (n, d) of rows that have these columns, and warnings about values that were never seen.

        Raises DataError: a column is missing, or a value is not what the column should hold.
        """
        used = [step for step in self.steps if not isinstance(step, Dropped)]
        absent = [step.name for step in used if step.name not in columns]
        if absent:
            raise DataError(
                [
                    Defect(f"columns.{name}", f"there is no column {name!r}", "add it: the model needs it")
                    for name in absent
                ]
            )
        parts, warnings = [], []
        for step in used:
            try:
                features, unknown = step.apply(columns[step.name])
            except UnfitValueError as error:
                wanted = step.kind if isinstance(step, Numeric) else "array"
                written = step.notation if isinstance(step, Numeric) else None
                like = f" like those of the training rows, {written}" if written else ""
                remedy = f"write a {wanted}{like}, or leave it empty where it is missing"
                raise DataError([Defect(f"columns.{step.name}", str(error), remedy)]) from None
            parts.append(features)
            if unknown:
                warnings.append(
                    f"{unknown} texts of {step.name!r} have no word that the training rows taught"
                    if isinstance(step, Text)
                    else f"{unknown} values of {step.name!r} were not among the training rows: they count as none"
                )
        return np.hstack(parts), warnings

    def described(self) -> list[dict[str, str]]:
        """``name`` and ``treatment`` of each column, for people."""
        return [{"name": step.name, "treatment": step.treatment} for step in self.steps]

    def as_dict(self) -> list[dict[str, Any]]:
        """All but the :meth:`arrays`, ready for JSON."""
        types = {cls: name for name, cls in _STEPS.items()}
        return [
            {"type": _TEXT} | step.as_dict()
            if isinstance(step, Text)
            else {"type": types[type(step)]}
            | {k: v for k, v in asdict(step).items() if k not in ("features", "scaled")}
            for step in self.steps
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learned of free text, by the place of its column."""
        return {
            f"{_TEXT}.{place}.{name}": array
            for place, step in enumerate(self.steps)
            if isinstance(step, Text)
            for name, array in step.arrays().items()
        }

    @classmethod
    def from_dict(
        cls, steps: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]] | None = None
    ) -> Encoding:
        """What :meth:`as_dict` and :meth:`arrays` made; ``arrays`` may have others, too."""
        return cls(tuple(_read(step, f"{_TEXT}.{place}.", arrays or {}) for place, step in enumerate(steps)))


def _read(step: Mapping[str, Any], prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Step:
    if step["type"] == _TEXT:
        own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        return Text.of_arrays(step, own)
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in step.items() if name != "type"}
    made: Step = _STEPS[step["type"]](**known)
    return made


def fit(
    columns: Mapping[str, Column],
    kinds: Mapping[str, Kind],
    names: Mapping[str, Sequence[str]],
    rows: Integers,
    notations: Mapping[str, str] | None = None,
) -> Encoding:
    """The encoding that the training ``rows`` of ``columns`` ask for.

    ``names`` are those of the numbers in columns of arrays, ``notations`` how columns are written that were text in
    their file. Nothing is learned from other rows.
    """
    index, written = pa.array(rows), notations or {}
    texts = sum(kind == "free text" for kind in kinds.values())

    def fitted(name: str, kind: Kind) -> Step:
        training = columns[name].take(index)
        if kind == "free text":
            found = fit_text(name, training, texts)
            return found or Dropped(name, "no word of it stands in two training rows")
        return _fit(name, training, kind, names, written.get(name))

    return Encoding(tuple(fitted(name, kind) for name, kind in kinds.items()))


def _fit(name: str, training: Column, kind: Kind, names: Mapping[str, Sequence[str]], notation: str | None) -> Step:
    if kind == "array":
        return _fit_block(name, training, names[name])
    if kind in ("integer", "number", "date", "boolean"):
        return _with_notation(_fit_numbers(name, as_numbers(training, kind), kind), notation)
    step = _fit_categories(name, as_text(training))
    if isinstance(step, Categorical):
        step = replace(step, kind=kind_of(training.type))
    return _with_notation(step, notation)


def _with_notation(step: Step, notation: str | None) -> Step:
    return replace(step, notation=notation) if isinstance(step, Numeric | Categorical) else step


def _fit_numbers(name: str, values: Floats, kind: Kind) -> Step:
    known = values[np.isfinite(values)]
    if not len(known):
        return Dropped(name, "the training rows have no value of it")
    if len(known) == len(values) and np.ptp(values) == 0:
        return Dropped(name, "all training rows have the same value")
    fill = float(np.mean(known) >= 0.5) if kind == "boolean" else float(np.median(known))
    return Numeric(name, kind, fill, indicator=len(known) < len(values))


def _fit_categories(name: str, text: Column) -> Step:
    counts = pc.value_counts(pc.drop_null(text))
    frequency = {item["values"]: item["counts"] for item in counts.to_pylist()}
    missing = text.null_count > 0
    if not frequency:
        return Dropped(name, "the training rows have no value of it")
    if len(frequency) == 1 and not missing:
        return Dropped(name, "all training rows have the same value")
    if nearly_unique(len(frequency), len(text) - text.null_count):
        return Dropped(name, "nearly every training row has a text of its own")
    ranked = sorted(frequency, key=lambda value: (-frequency[value], value))
    kept = [value for value in ranked[:MOST_CATEGORIES] if frequency[value] >= FEWEST_OF_A_CATEGORY] or ranked[:1]
    return Categorical(name, tuple(sorted(kept)), other=len(kept) < len(ranked), missing=missing)


def nearly_unique(distinct: int, rows: int) -> bool:
    """Whether so many different texts are names or prose, and no categories."""
    return distinct > MOST_CATEGORIES and distinct > rows / 2


def most_features(kind: Kind, distinct: int | None) -> int:
    """The most features that a column becomes which is no array and has so many ``distinct`` values."""
    if kind == "free text":
        return MOST_DIMENSIONS + 1
    return min(distinct or 0, MOST_CATEGORIES) + 2 if kind == "text" else 2


def _fit_block(name: str, column: Column, names: Sequence[str]) -> Block:
    values = block(column)
    if np.isfinite(values).all():
        return Block(name, tuple(names))
    known = np.where(np.isfinite(values), values, np.nan)
    with np.errstate(all="ignore"):
        fill = [float(np.median(entry[~np.isnan(entry)])) if (~np.isnan(entry)).any() else 0.0 for entry in known.T]
    return Block(name, tuple(names), tuple(fill))


def block(column: Column) -> Floats:
    """A column of arrays of one length d as (n, d)."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float64).reshape(len(whole), -1)
