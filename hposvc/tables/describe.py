"""What a file of rows holds: a description of every column, with what will be done to it and what part it plays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hposvc.tables.defects import DataError, Defect, for_shell
from hposvc.tables.encoding import MOST_CATEGORIES, nearly_unique
from hposvc.tables.free_text import MOST_DIMENSIONS, is_free_text
from hposvc.tables.kinds import Kind
from hposvc.tables.label import Label, are_whole, cautions, judge, treatment
from hposvc.tables.options import Reading, UploadOptions
from hposvc.tables.rows import RowReader

FEWEST_ROWS = 10
LARGEST_VALUE = 1e100  # beyond it a variance overflows float64
LABEL_NAMES = ("target", "label", "class", "y")
ID_NAMES = ("id", "row_id")
ID_NAME = re.compile(r"(?:^|[\s_.-])(?:[iI][dD]|[uU][uU][iI][dD])$|(?<=[a-z])I[dD]$")
PARTS = frozenset({"train", "validation", "test"})


def describe(
    rows: RowReader, total: int, path: Path, options: UploadOptions, infinite: Mapping[str, int]
) -> dict[str, Any]:
    """The description of the file at ``path``, as written from ``rows``, ready for JSON.

    ``task, rows, features, target, classes, id_column, image_shape, arrays, columns``, each column with its ``name,
    dtype, role, treatment, missing, distinct``; what to know of the file, ``cautions``, and of its label,
    ``label_cautions``; the columns of free text, ``texts``; and how text was read, ``reading`` and the ``notations`` of
    columns. The label and the column of ids are those that were asked for, or those whose names say so. Raises
    DataError: too few rows, a label that cannot be learned, values that are too large. ``infinite`` counts values by
    column that were, and are missing now.
    """
    if total < FEWEST_ROWS:
        _refuse("body", f"{total} row{'s' * (total != 1)}", f"send at least {FEWEST_ROWS}")
    file = pq.ParquetFile(path)
    columns = {name: _measured(file, name, kind, rows) for name, kind in rows.kinds.items()}
    texts = [name for name, column in columns.items() if column.pop("free_text", False)]
    defects = [defect for column in columns.values() if (defect := column.pop("defect"))]
    if defects:
        raise DataError(defects)
    _check_options(rows, options)
    label = options.label or _named(rows, columns, "label", LABEL_NAMES)
    id_column = options.id_column or _named(rows, columns, "id", ID_NAMES)
    if label is not None and label == id_column:
        _refuse("id_column", f"column {label!r} is the label too", "name another column, or leave it out")
    task, classes, label_cautions = None, None, []
    if label is not None:
        if infinite.get(label):
            _refuse(f"columns.{label}", f"{infinite[label]} labels are infinite", "correct them, or drop those rows")
        told, values = _label(file, label, columns[label], rows)
        task, classes = judge(told, values, options.task, leave_out=options.unlabelled == "leave_out")
        columns[label] |= {"role": "label", "treatment": treatment(task, classes)}
        label_cautions = list(cautions(told, classes, asked=options.task is not None))
    if id_column is not None:
        _check_ids(id_column, columns[id_column], total, asked=options.id_column is not None)
        if columns[id_column]["distinct"] == total:
            columns[id_column] |= {"role": "id", "treatment": "names the rows in results"}
        else:
            id_column = None
    described = [{"name": name} | column for name, column in columns.items()]
    described += [
        {"name": name, "dtype": type_, "role": "ignored", "treatment": f"dropped: {type_} is no number, text or date"}
        | {"missing": 0, "distinct": None}
        for name, type_ in rows.unread.items()
    ]
    features = sum(column["role"] == "feature" for column in described)
    if not features:
        _refuse(
            "body", "no column is left to learn from", "send columns of numbers, categories or dates beside the label"
        )
    return {
        "task": task,
        "rows": total,
        "features": features if not rows.arrays else sum(len(names) for names in rows.arrays.values()),
        "target": label,
        "classes": classes,
        "id_column": id_column,
        "image_shape": rows.image_shape,
        "arrays": rows.arrays,
        "texts": texts,
        "cautions": [*rows.cautions, *_of_infinite(infinite), *_of_leaks(described, file, total)],
        "label_cautions": label_cautions,
        "unlabelled": options.unlabelled,
        "task_was_said": options.task is not None,
        "reading": _kept(options.reading),
        "notations": rows.notations,
        "columns": described,
    }


def _kept(reading: Reading) -> dict[str, Any]:
    """How text is read, as far as later files are to be read alike; notations are kept by column."""
    said = asdict(reading)
    return {name: said[name] for name in ("missing_values", "missing_in", "encoding", "header")}


def _of_infinite(infinite: Mapping[str, int]) -> Iterator[str]:
    for name, count in infinite.items():
        yield f"{count:,} values of {name!r} are infinite: they are taken as missing."


def _of_leaks(columns: list[dict[str, Any]], file: pq.ParquetFile, total: int) -> Iterator[str]:
    """Features that name or number the rows: a model learns the labels of this file from them, and of no other."""
    for column in columns:
        name = column["name"]
        if column["role"] != "feature":
            continue
        command = f"hposvc tune --leave-out {for_shell(name)}"
        remedy = f"use `{command}`, or name the other columns as dataset.features in the job."
        if _numbers_rows(column, file, total):
            yield (
                f"{name!r} only counts the rows. It tells the label where the file is sorted by it, and nothing in "
                f"other files: if it is no measurement, {remedy}"
            )
        elif ID_NAME.search(name):
            yield (
                f"{name!r} looks like an id, and is learned from. It tells the label where several rows have one id, "
                f"and nothing of new ones: if it is an id, {remedy}"
            )


def _numbers_rows(column: dict[str, Any], file: pq.ParquetFile, total: int) -> bool:
    if column["dtype"] != "integer" or column["distinct"] != total or column["missing"]:
        return False
    values = file.read([column["name"]], use_threads=False).column(0)
    ends = pc.min_max(values).as_py()
    return bool(ends["max"] - ends["min"] + 1 == total and ends["min"] in (0, 1))


def _check_options(rows: RowReader, options: UploadOptions) -> None:
    for role, name in (("label", options.label), ("id_column", options.id_column)):
        if name in rows.unread:
            _refuse(role, f"column {name!r} holds {rows.unread[name]}", "name a column of numbers, text or truth")
        if name is not None and name not in rows.kinds:
            _refuse(role, f"there is no column {name!r}", f"choose one of {_listed(rows.kinds)}")
        if name in rows.arrays:
            _refuse(role, f"column {name!r} holds arrays", "name a column of numbers, text or truth")


def _label(file: pq.ParquetFile, name: str, column: dict[str, Any], rows: RowReader) -> tuple[Label, pa.ChunkedArray]:
    values = file.read([name], use_threads=False).column(0)
    kind = column["dtype"]
    texts = shown_missing(rows.read_as_missing.get(name, {}))
    return Label(name, kind, column["distinct"], column["missing"], are_whole(values, kind), texts), values


def _refuse(field: str, message: str, remedy: str) -> None:
    raise DataError([Defect(field, message, remedy)])


def _listed(names: Any, most: int = 20) -> str:
    known = [str(name) for name in names]
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")


def _measured(file: pq.ParquetFile, name: str, kind: Kind, rows: RowReader) -> dict[str, Any]:
    """One column: what it holds, and what will be done to it unless it is given another role."""
    if kind == "array":
        shape = rows.image_shape
        what = f"{' × '.join(map(str, shape))} pixels" if shape else f"{len(rows.arrays[name])} numbers"
        values = file.schema_arrow.field(name).type.value_type
        return {
            "dtype": f"array of {what}, {values}",
            "role": "feature",
            "treatment": f"{what}, standardized by the training rows",
            "missing": 0,
            "distinct": None,
            "defect": _beyond_in_array(file, name),
        }
    # A column at a time: that is what memory has to hold.
    column = file.read([name], use_threads=False).column(0)
    missing, total = column.null_count, len(column)
    distinct = pc.count_distinct(column, mode="only_valid").as_py()
    prose = kind == "text" and _is_prose(column, distinct)
    role, treatment = ("feature", _of_prose(missing)) if prose else _treated(column, kind, missing, distinct)
    if rows.roles.get(name) == "ignored":
        role, treatment = "ignored", "left out: it numbers or divides the rows; a job may name it"
    if total and missing == total:
        role, treatment = "ignored", "dropped: it has no values"
    defect = _beyond(name, column) if kind == "number" else None
    if name in rows.notations:
        treatment += f"; written as {rows.notations[name]}"
    if name in rows.read_as_missing:
        treatment += f"; read as missing: {shown_missing(rows.read_as_missing[name])}"
    return {
        "dtype": kind,
        "role": role,
        "treatment": treatment,
        "missing": missing,
        "distinct": distinct,
        "defect": defect,
        "free_text": prose,
    }


def _is_prose(column: pa.ChunkedArray, distinct: int) -> bool:
    known = len(column) - column.null_count
    return distinct > MOST_CATEGORIES and is_free_text(column, nearly_unique=nearly_unique(distinct, known))


def _of_prose(missing: int) -> str:
    done = f"free text: up to {MOST_DIMENSIONS} features of its words, by TF-IDF and truncated SVD"
    return done + ", one for missing" * bool(missing)


def shown_missing(texts: dict[str, int], most: int = 5) -> str:
    """The texts that were read as missing, the commonest first, and how often each stands there."""
    ranked = sorted(texts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{text!r} in {count:,} rows" for text, count in ranked[:most]) + ", …" * (len(texts) > most)


def _treated(column: pa.ChunkedArray, kind: Kind, missing: int, distinct: int) -> tuple[str, str]:
    if distinct < 2 and not missing:
        return "ignored", "dropped: it has the same value in every row"
    filled = "; missing becomes the training rows' {}, with a feature that says where" if missing else ""
    if kind != "text":
        done, instead = {
            "date": ("days since 1970, standardized by the training rows", "median"),
            "boolean": ("0 or 1", "commoner value"),
        }.get(kind, ("standardized by the training rows", "median"))
        return "feature", done + filled.format(instead)
    if distinct <= len(PARTS) and set(pc.unique(pc.drop_null(column)).to_pylist()) <= PARTS and distinct > 1:
        return "ignored", "left out: it divides the rows; name it as dataset.split.column to use it"
    if nearly_unique(distinct, len(column) - missing):
        return "ignored", "dropped: nearly every row has a text of its own"
    alone = f"each of {distinct} categories, rare ones together"
    if distinct > MOST_CATEGORIES:
        alone = f"each of the {MOST_CATEGORIES} commonest of {distinct} categories, one for all others"
    return "feature", f"one feature for {alone}" + ", one for missing" * bool(missing)


def _beyond(name: str, column: pa.ChunkedArray) -> Defect | None:
    bad = pc.fill_null(pc.greater(pc.abs(column), LARGEST_VALUE), False)
    count = pc.sum(bad).as_py() or 0
    if not count:
        return None
    row = pc.index(bad, pa.scalar(True)).as_py() + 1
    return Defect(
        f"columns.{name}",
        f"{count} values are beyond {LARGEST_VALUE:g}, the first in row {row}",
        "leave them empty where they are missing, or drop those rows",
    )


def _beyond_in_array(file: pq.ParquetFile, name: str) -> Defect | None:
    if not pa.types.is_floating(file.schema_arrow.field(name).type.value_type):
        return None
    for batch in file.iter_batches(4096, columns=[name], use_threads=False):
        defect = _beyond(name, pa.chunked_array([batch.column(0).flatten().cast(pa.float64())]))
        if defect:
            return Defect(defect.field, "some values are too large", defect.remedy)
    return None


def _named(rows: RowReader, columns: dict[str, dict[str, Any]], role: str, names: tuple[str, ...]) -> str | None:
    """The column that plays ``role`` by the format, or the only one whose name says so."""
    by_format = [name for name, given in rows.roles.items() if given == role]
    by_name = [name for name in columns if name.strip().lower() in names]
    found = by_format or by_name
    return found[0] if len(found) == 1 else None


def _check_ids(name: str, column: dict[str, Any], total: int, *, asked: bool) -> None:
    if not asked:
        return
    if column["missing"]:
        _refuse("id_column", f"column {name!r} is missing in {column['missing']} rows", "give every row an id")
    if column["distinct"] < total:
        _refuse(
            "id_column",
            f"column {name!r} has {total - column['distinct']} ids that stand in more than one row",
            "name a column of unique values, or leave it out: rows then have numbers",
        )
