"""What reviews read of uploaded data sets: in a process of its own, because a small file may hold much.

``place`` and ``revise`` start that process, which calls ``respond``. It knows no database. Rows with ids of which the
file itself says that they take little are looked up without it: people decide one row at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from hposvc.datasets import confined_reading
from hposvc.reviews.judged import Judged, is_described, judged
from hposvc.tables.label import class_name, treatment
from hposvc.tables.revision import Done, Revision, counted, values_of
from hposvc.tables.revision import revise as revise_file

if TYPE_CHECKING:
    from hposvc.datasets.stored import StoredDataset
    from hposvc.schema.reviews import Decision
    from hposvc.training_data import Upload

NEEDS = confined_reading.NEEDS
MODULE = "hposvc.reviews.confined_review"
REVIEW = "review"  # the column that says what was done
SAID = "says what a review did to the label: confirmed, relabelled, unsure, or nothing"

MOST_ROWS, MOST_BYTES = 100_000, 16 * 2**20  # of ids that are looked through in this process

Decided = tuple[str, str | None]  # a decision, and the new label with ``relabel``


class Placed(NamedTuple):
    """The column that is judged, and the places of the rows that were named, from 0."""

    label: str
    numbers: list[int]


def place(
    stored: StoredDataset,
    label: str | None,
    rows: Sequence[str],
    labels: Sequence[str | None] = (),
    task: str | None = None,
) -> Placed:
    """Where ``rows`` stand in a data set whose column ``label`` is judged; its own label by default.

    ``labels`` are what they are to become. Raises DataError: there is no such column, row or class; FileNotFoundError,
    StoreError.
    """
    here = confined_reading.upload(stored)
    if _takes_little(here, label, task):
        return _placed(judged(here, label, task), rows, labels)
    command = {"what": "place", "label": label, "task": task, "rows": list(rows), "labels": list(labels)}
    found = confined_reading.ask(MODULE, command, [stored])
    return Placed(found["label"], found["numbers"])


def revise(stored: StoredDataset, label: str, decided: Mapping[int, Decision], target: Path) -> dict[str, Any]:
    """Write the rows to ``target`` as they were ``decided``; returns what is known of them that changed.

    Raises as ``place`` does.
    """
    said = [(number, each.decision, each.relabelled_to) for number, each in decided.items()]
    command = {"what": "revise", "label": label, "task": None, "decided": said, "target": str(target)}
    revised: dict[str, Any] = confined_reading.ask(MODULE, command, [stored])["revised"]
    return revised


def _takes_little(upload: Upload, label: str | None, task: str | None) -> bool:
    """Whether to judge this column takes no more than its ids, and those little.

    Ids differ, so that decoded they take what they take in the file once it is uncompressed. Labels need not.
    """
    column = upload.description["id_column"]
    if not is_described(upload, label, task):
        return False
    if column is None:
        return True
    with upload.open() as file:
        groups = pq.ParquetFile(file).metadata
    chunks = [groups.row_group(i).column(j) for i in range(groups.num_row_groups) for j in range(groups.num_columns)]
    ids = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == column)
    return bool(groups.num_rows <= MOST_ROWS and ids <= MOST_BYTES)


def _placed(column: Judged, rows: Sequence[str], labels: Sequence[str | None]) -> Placed:
    numbers = column.numbers(rows)
    column.require_labels(labels)
    return Placed(column.label, numbers)


def respond(command: dict[str, Any]) -> dict[str, Any]:
    """The outcome of a command of this module."""
    return confined_reading.on_uploads(_done, command)


def _done(command: dict[str, Any], uploads: dict[str, Upload]) -> dict[str, Any]:
    (upload,) = uploads.values()
    column = judged(upload, command["label"], command["task"])
    if command["what"] == "place":
        return _placed(column, command["rows"], command["labels"])._asdict()
    decided = {number: (decision, new) for number, decision, new in command["decided"]}
    return {"revised": _revised(upload, column, decided, Path(command["target"]))}


def _revised(upload: Upload, column: Judged, decided: Mapping[int, Decided], target: Path) -> dict[str, Any]:
    known = upload.description
    revision = _revision(column, decided, known.get("review_column") or _free_name(known["columns"]))
    with upload.open() as file:
        rows = revise_file(file, target, revision)
    values = None if column.classes is None else values_of(target, column.label)
    return {
        "columns": counted(target, _described(known["columns"], column, revision)),
        "rows": rows,
        "task": "regression" if column.classes is None else "classification",
        "classes": None if values is None else [class_name(value) for value in values],
        "review_column": revision.review,
    }


def _revision(column: Judged, decided: Mapping[int, Decided], review: str) -> Revision:
    given = column.values
    raw = {class_name(value): value for value in pc.unique(pc.drop_null(given)).to_pylist()}
    labels: dict[int, Any] = {}
    done: dict[int, Done] = {}
    for number, (decision, to) in decided.items():
        if decision == "relabel" and to is not None:
            new = float(to) if column.classes is None else raw[to]
            done[number] = "confirmed" if given[number].as_py() == new else "relabelled"
            labels[number] = new
        elif decision in ("right", "unsure"):
            done[number] = "confirmed" if decision == "right" else "unsure"
    dropped = frozenset(number for number, (decision, _) in decided.items() if decision == "drop")
    return Revision(column.label, review, labels, dropped, done)


def _described(columns: Sequence[Mapping[str, Any]], column: Judged, revision: Revision) -> list[dict[str, Any]]:
    """The columns of the parent with their roles; the label is the one that was judged, and a review column is last."""
    task = "regression" if column.classes is None else "classification"
    found = []
    for each in columns:
        role = dict(each)
        if each["name"] == column.label:
            role |= {
                "role": "label",
                "treatment": treatment(task, None if column.classes is None else [*column.classes]),
            }
            if any(isinstance(value, float) and not value.is_integer() for value in revision.labels.values()):
                role["dtype"] = "number"
        elif each["role"] == "label":
            role |= {"role": "feature", "treatment": "a former label, learned from unless a job leaves it out"}
        found.append(role)
    if all(each["name"] != revision.review for each in columns):
        found.append({"name": revision.review, "dtype": "text", "missing": 0, "distinct": 0})
    for each in found:
        if each["name"] == revision.review:
            each |= {"role": "ignored", "treatment": SAID}
    return found


def _free_name(columns: Sequence[Mapping[str, Any]]) -> str:
    taken = {each["name"] for each in columns}
    return next(name for name in (REVIEW, *(f"{REVIEW}_{i}" for i in range(2, len(taken) + 3))) if name not in taken)
