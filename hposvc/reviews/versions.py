"""New versions of data sets: what people decided, done to the rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
import sqlalchemy as sa

from hposvc.datasets.service import Datasets, Made
from hposvc.db.tables import DEFAULT_TENANT
from hposvc.reviews import queries
from hposvc.reviews.judged import Judged
from hposvc.schema.datasets import DatasetResource
from hposvc.schema.reviews import Decision
from hposvc.tables.defects import DataError, Defect
from hposvc.tables.describe import FEWEST_ROWS
from hposvc.tables.label import class_name, treatment
from hposvc.tables.revision import Done, Revision, counted, revise, values_of

REVIEW = "review"  # the column that says what was done
SAID = "says what a review did to the label: confirmed, relabelled, unsure, or nothing"


def make(
    datasets: Datasets,
    engine: sa.Engine,
    dataset_id: str,
    column: Judged,
    *,
    name: str | None = None,
    tenant: str = DEFAULT_TENANT,
) -> tuple[DatasetResource, bool]:
    """A new data set from ``dataset_id`` and what was decided about it; returns it and whether it is new.

    The same decisions make the same version once. Raises DataError: nobody decided, or too few rows are left.
    """
    decided = dict(queries.counting(engine, dataset_id, column.label))
    if not decided:
        raise DataError(
            [Defect("decisions", f"nobody has decided about a row of {dataset_id} yet", "review some rows first")]
        )
    parent = datasets.upload(dataset_id, tenant=tenant)
    known = parent.description
    revision = _revision(column, decided, known.get("review_column") or _free_name(known["columns"]))
    with datasets.incoming() as incoming:
        target = incoming.directory / "data.parquet"
        with parent.open() as file:
            rows = revise(file, target, revision)
        if rows < FEWEST_ROWS:
            raise DataError([Defect("decisions", f"only {rows} rows are left", f"keep at least {FEWEST_ROWS}")])
        columns = _described(known["columns"], column, revision)
        description = {
            **{key: value for key, value in known.items() if key not in ("columns", "sent_sha256")},
            "columns": counted(target, columns),
            "rows": rows,
            "target": column.label,
            "task": "regression" if column.classes is None else "classification",
            "classes": None
            if column.classes is None
            else [class_name(value) for value in values_of(target, column.label)],
            "label_cautions": known["label_cautions"] if column.label == known["target"] else [],
            "review_column": revision.review,
            "parent": dataset_id,
            "version": known.get("version", 1) + 1,
            "reviewed": _counts(decided),
        }
        called = name or _called(parent.name, description["version"])
        made = Made(called, _identity(dataset_id, column.label, decided), description)
        return datasets.keep(incoming, target, made, tenant=tenant)


def _revision(column: Judged, decided: Mapping[int, Decision], review: str) -> Revision:
    given = column.values
    raw = {class_name(value): value for value in pc.unique(pc.drop_null(given)).to_pylist()}
    labels: dict[int, Any] = {}
    done: dict[int, Done] = {}
    for number, each in decided.items():
        if each.decision == "relabel" and each.relabelled_to is not None:
            new = float(each.relabelled_to) if column.classes is None else raw[each.relabelled_to]
            done[number] = "confirmed" if given[number].as_py() == new else "relabelled"
            labels[number] = new
        elif each.decision in ("right", "unsure"):
            done[number] = "confirmed" if each.decision == "right" else "unsure"
    dropped = frozenset(number for number, each in decided.items() if each.decision == "drop")
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


def _counts(decided: Mapping[int, Decision]) -> dict[str, int]:
    counts = Counter(each.decision for each in decided.values())
    return {"right": 0, "relabel": 0, "drop": 0, "unsure": 0} | dict(counts)


def _identity(parent: str, label: str, decided: Mapping[int, Decision]) -> str:
    """What is known as one version: the parent, and what counts of the decisions."""
    said = sorted((number, each.decision, each.relabelled_to) for number, each in decided.items())
    return hashlib.sha256(json.dumps([parent, label, said]).encode()).hexdigest()


def _called(parent: str, version: int) -> str:
    """``flowers.csv`` becomes ``flowers v2.csv``, and that ``flowers v3.csv``."""
    stem, dot, suffix = parent.rpartition(".") if "." in parent else (parent, "", "")
    stem = re.sub(r" v\d+$", "", stem)[:180]
    return f"{stem} v{version}{dot}{suffix}"[:200]


def _free_name(columns: Sequence[Mapping[str, Any]]) -> str:
    taken = {each["name"] for each in columns}
    return next(name for name in (REVIEW, *(f"{REVIEW}_{i}" for i in range(2, len(taken) + 3))) if name not in taken)
