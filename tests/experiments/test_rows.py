"""What repeats say of rows and strengths, from the files that their jobs left."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from hposvc.experiments import rows
from hposvc.jobs.stored_file import StoredFile
from hposvc.storage.store import Store
from tests.support.experimenting import REPEATS, Laboratory, experiment, found

FILES: list[dict[str, dict[str, list[Any]]]] = [
    {
        "rows.parquet": {
            "row_id": ["1", "2", "3"],
            "label": ["a", "b", "a"],
            "suspect": [True, True, False],
            "probability_wrong": [0.9, 0.6, 0.1],
        },
        "hyperparameters.parquet": {"feature": ["x", "y"], "penalty": ["l2", "l2"], "lambda": [1.0, -2.0]},
    },
    {
        "rows.parquet": {  # row 3 was a test row here, so nothing is said of it
            "row_id": ["2", "1", "3"],
            "label": ["b", "a", "a"],
            "suspect": [False, True, None],
            "probability_wrong": [0.2, 0.8, None],
        },
        "hyperparameters.parquet": {"feature": ["x", "y"], "penalty": ["l2", "l2"], "lambda": [2.0, -2.0]},
    },
]


def played(engine: sa.Engine, store: Store, folder: Path) -> str:
    """The id of two repeats that have ended and left files."""
    lab = Laboratory(engine)
    begun = lab.experiments.submit(experiment(REPEATS | {"repeats": 2}))
    lab.advancing.advance()
    for trial, files in zip(lab.waiting(begun.id), FILES, strict=True):
        attempt = lab.worker.take(lab.jobs_of(trial))
        stored = []
        for name, columns in files.items():
            file = folder / f"{trial.number}-{name}"
            pq.write_table(pa.table(columns), file)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            stored.append(StoredFile(name, "rows", file.stat().st_size, digest, store.put(file, file.name)))
        attempt.succeed(found(), stored)
    lab.advancing.advance()
    assert lab.get(begun.id).finished_at is not None
    return begun.id


def test_rows_and_strengths_are_those_of_the_files(engine: sa.Engine, tmp_path: Path) -> None:
    store = Store((tmp_path / "store").as_uri())
    experiment_id = played(engine, store, tmp_path)
    suspects = rows.suspects(engine, store, experiment_id)
    assert (suspects.repeats, suspects.total) == (2, 2)
    assert [(row.row_id, row.label, row.suspect, row.judged) for row in suspects.items] == [
        ("1", "a", 2, 2),
        ("2", "b", 1, 2),
    ]
    assert [row.probability_wrong for row in suspects.items] == pytest.approx([0.85, 0.4])
    strengths = rows.strengths(engine, store, experiment_id)
    assert [(item.name, item.repeats, item.lam.mean) for item in strengths.items] == [("x", 2, 1.5), ("y", 2, -2.0)]


def test_no_more_is_read_than_the_cap(engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred repeats of a large table would keep the API busy for minutes."""
    store = Store((tmp_path / "store").as_uri())
    experiment_id = played(engine, store, tmp_path)
    monkeypatch.setattr(rows, "MOST_READ", 5)
    suspects = rows.suspects(engine, store, experiment_id)
    assert suspects.repeats == 1
    assert [(row.row_id, row.suspect, row.judged) for row in suspects.items] == [("1", 1, 1), ("2", 1, 1)]
    monkeypatch.setattr(rows, "MOST_READ", 3)
    assert rows.strengths(engine, store, experiment_id).repeats == 1
