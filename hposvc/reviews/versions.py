"""New versions of data sets: what people decided, done to the rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping

import sqlalchemy as sa

from hposvc.datasets.service import Datasets, Made
from hposvc.db.tables import DEFAULT_TENANT
from hposvc.reviews import confined_review, queries
from hposvc.schema.datasets import DatasetResource
from hposvc.schema.reviews import Decision
from hposvc.tables.defects import DataError, Defect
from hposvc.tables.describe import FEWEST_ROWS


def make(
    datasets: Datasets,
    engine: sa.Engine,
    dataset_id: str,
    label: str,
    *,
    name: str | None = None,
    tenant: str = DEFAULT_TENANT,
) -> tuple[DatasetResource, bool]:
    """A new data set from ``dataset_id`` and what was decided about it; returns it and whether it is new.

    The same decisions make the same version once. Raises DataError: nobody decided, or too few rows are left.
    """
    decided = dict(queries.counting(engine, dataset_id, label))
    if not decided:
        raise DataError(
            [Defect("decisions", f"nobody has decided about a row of {dataset_id} yet", "review some rows first")]
        )
    parent = datasets.stored(dataset_id, tenant=tenant)
    known = parent.description
    with datasets.incoming() as incoming:
        target = incoming.directory / "data.parquet"
        revised = confined_review.revise(parent, label, decided, target)
        if revised["rows"] < FEWEST_ROWS:
            wrong = f"only {revised['rows']} rows are left"
            raise DataError([Defect("decisions", wrong, f"keep at least {FEWEST_ROWS}")])
        description = {
            **{key: value for key, value in known.items() if key not in ("columns", "sent_sha256")},
            **revised,
            "target": label,
            "label_cautions": known["label_cautions"] if label == known["target"] else [],
            "parent": dataset_id,
            "version": known.get("version", 1) + 1,
            "reviewed": _counts(decided),
        }
        called = name or _called(parent.name, description["version"])
        made = Made(called, _identity(dataset_id, label, decided), description)
        return datasets.keep(incoming, target, made, tenant=tenant)


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
