"""The kinds of columns, and columns of each kind as numbers or as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hposvc.copyable import Copyable
from hposvc.tables.notation import of_name, of_years_1_to_9999

Kind = Literal["integer", "number", "boolean", "date", "text", "free text", "empty", "array", "other"]
Column = Any  # pyarrow.Array or ChunkedArray; Arrow ships no types
Floats = NDArray[np.float64]

ARROW: dict[Kind, Any] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.timestamp("us"),
    "text": pa.string(),
    "empty": pa.string(),
}

# What stands for a missing value in a CSV file: what pandas takes for one, and the question mark of the UCI archive.
MISSING = (
    "",
    "?",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)
_TRUTH = pa.array(["true", "false"])
_MICROSECONDS_PER_DAY = 86_400_000_000

# 007 and numbers of more digits than a float holds are names, whatever they are made of.
_NAME_OF_DIGITS = r"^[+-]?(0\d|\d{16,}$)"


class UnfitValueError(Copyable, ValueError):
    """A value is not of the kind that its column should be. ``row`` counts from 0."""

    def __init__(self, row: int, value: str) -> None:
        self.row = row
        self.value = value
        super().__init__(f"row {row + 1} has {value!r}")


def tidy(column: Column, missing: Sequence[str] | None = None) -> Column:
    """Text without blanks around it, null where it stands for a missing value: those of ``missing``, or of MISSING."""
    trimmed = pc.utf8_trim_whitespace(column)
    texts = pa.array(MISSING if missing is None else ["", *missing], pa.string())
    return pc.if_else(pc.is_in(trimmed, value_set=texts), pa.scalar(None, pa.string()), trimmed)


def of_text(column: Column, kind: Kind) -> Column:
    """Tidy text as a column of ``kind``. Raises pa.ArrowInvalid if some value is not of it."""
    if kind == "boolean":
        lower = pc.utf8_lower(column)
        if pc.any(pc.invert(pc.is_in(pc.drop_null(lower), value_set=_TRUTH))).as_py():
            raise pa.ArrowInvalid("not true or false")
        return pc.equal(lower, "true")
    if kind == "integer" and pc.any(pc.match_substring_regex(column, _NAME_OF_DIGITS)).as_py():
        raise pa.ArrowInvalid("digits that are a name")
    if kind == "number":
        number = pc.cast(column, pa.float64())
        if pc.any(pc.match_substring_regex(column, _NAME_OF_DIGITS)).as_py():
            raise pa.ArrowInvalid("digits that are a name")
        return number
    if kind == "date":
        try:
            dates = pc.cast(column, ARROW["date"])
        except pa.ArrowInvalid:  # with a zone
            dates = pc.cast(pc.cast(column, pa.timestamp("us", "UTC")), ARROW["date"])
        return of_years_1_to_9999(dates)
    return column if kind in ("text", "empty") else pc.cast(column, ARROW[kind])


def kind_of(type_: pa.DataType) -> Kind:
    """The kind of a column of an Arrow type."""
    if pa.types.is_dictionary(type_):
        return kind_of(type_.value_type)
    for kind, tests in _KINDS.items():
        if any(test(type_) for test in tests):
            return kind
    return "other"


_KINDS: dict[Kind, tuple[Any, ...]] = {
    "integer": (pa.types.is_integer,),
    "number": (pa.types.is_floating, pa.types.is_decimal),
    "boolean": (pa.types.is_boolean,),
    "date": (pa.types.is_date, pa.types.is_timestamp),
    "text": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    "empty": (pa.types.is_null,),
}


def of_arrow(column: Column, kind: Kind, missing: Sequence[str] | None = None) -> Column:
    """An Arrow column as the one type of its ``kind``; NaN is a missing value, and so are the texts ``missing``.

    Raises pa.ArrowInvalid: out of range.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kind == "date":
        return _days_of_arrow(column)
    column = column.cast(ARROW[kind], safe=kind != "number")
    if kind == "number":
        return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    return tidy(column, missing) if kind == "text" else column


def _days_of_arrow(column: Column) -> Column:
    zone = getattr(column.type, "tz", None)
    for type_ in [pa.timestamp("us", zone)] * bool(zone) + [ARROW["date"]]:
        column = pc.cast(column, options=pc.CastOptions(type_, allow_time_truncate=True))
    return of_years_1_to_9999(column)


def as_numbers(column: Column, kind: Kind, notation: str | None = None) -> Floats:
    """A column as float64, NaN where it is missing: dates are days since 1970, false and true are 0 and 1.

    Tidy text is read as what ``kind`` and the name of its ``notation`` say. Raises UnfitValueError at the first value
    that is not of that kind.
    """
    if kind_of(column.type) == "text":
        column = parsed(column, kind, notation)
    elif kind != "boolean" and pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        moments = of_arrow(column, "date").cast(pa.int64()).cast(pa.float64(), safe=False)
        days = pc.divide(moments, float(_MICROSECONDS_PER_DAY))
        return _floats(days)
    return _floats(column.cast(pa.int64()).cast(pa.float64()) if pa.types.is_boolean(column.type) else column)


def as_text(column: Column) -> Column:
    """A column as text, null where it is missing: what a category is known by."""
    kind = kind_of(column.type)
    return column.cast(pa.string()) if kind == "text" else of_arrow(column, kind).cast(pa.string())


def _floats(column: Column) -> Floats:
    numbers: Floats = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def parsed(column: Column, kind: Kind, notation: str | None = None) -> Column:
    """Tidy text as values of ``kind``, written in ``notation``. Raises UnfitValueError at the first that is not one."""

    def parse(values: Column) -> Column:
        if notation is not None:
            return of_name(notation).parse(values)
        return pc.cast(values, pa.float64()) if kind in ("integer", "number") else of_text(values, kind)

    try:
        return parse(column)
    except pa.ArrowInvalid:
        for row, value in enumerate(column.to_pylist()):
            try:
                parse(pa.array([value], pa.string()))
            except pa.ArrowInvalid:
                raise UnfitValueError(row, str(value)) from None
        raise
