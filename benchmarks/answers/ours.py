"""One cell as a job: a CSV file, read like an upload, and the run that a worker makes of it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.answers import measures, noise
from benchmarks.answers.cells import TEST, Cell, StrengthCell
from hposvc import training_data
from hposvc.run.run import Outcome, Run
from hposvc.schema.spec import JobSpec
from hposvc.tables.ingest import ingest
from hposvc.tables.options import UploadOptions

MLP = {"type": "mlp", "hidden": [32]}
Measures = dict[str, Any]


class Planted(NamedTuple):
    """A table, part and label of each of its rows, the true ones, the rows that may be wrong, and a spec for it."""

    table: pa.Table
    parts: np.ndarray[Any, Any]
    given: np.ndarray[Any, Any]
    clean: np.ndarray[Any, Any]
    dirty: np.ndarray[Any, Any]
    spec: dict[str, Any]

    @property
    def sent(self) -> tuple[pa.Table, dict[str, Any], UploadOptions]:
        """What goes to :func:`uploaded`."""
        return _marked(self.table, self.parts, self.given), self.spec, UploadOptions("label", "id", "classification")


def planted(cell: Cell, csv: Path) -> Planted:
    """The cell's table with its wrong labels."""
    table = pyarrow.csv.read_csv(csv)
    clean = np.array(table["label"].to_pylist())
    parts = _parts(cell, len(clean))
    dirty = np.flatnonzero(parts != "test" if cell.trusted == "unknown" else parts == "train")
    classes, codes = np.unique(clean, return_inverse=True)
    right = Planted(table, parts, clean, clean, dirty, _reweighting(cell))
    with uploaded(*right.sent) as (named, up):
        features = _features(training_data.prepare(training_data.load(named.dataset, (), up), named))[dirty]
    given = clean.copy()
    given[dirty] = classes[noise.plant(codes[dirty], features, cell.noise, cell.rate, 100 + cell.seed)]
    return right._replace(given=given)


def labels(cell: Cell, csv: Path, arrays: Path) -> Measures:
    """What the job says of the cell's wrong rows, and its model's measures; what it learned from goes to ``arrays``."""
    made = planted(cell, csv)
    with uploaded(*made.sent) as (named, up):
        begun = time.perf_counter()
        outcome = _solved(named, up)
        seconds = time.perf_counter() - begun
        prepared = training_data.prepare(training_data.load(named.dataset, (), up), named)
    wrong, dirty = made.given != made.clean, made.dirty
    _save(arrays, prepared, dirty, wrong, hidden=32 if cell.model == "mlp" else 0, trusts=cell.trusted)
    rows = pq.read_table(io.BytesIO(outcome.artifacts["rows.parquet"])).to_pylist()
    said = {int(row["row_id"]): row for row in rows if row["probability_wrong"] is not None}
    probability = np.array([said[row]["probability_wrong"] for row in dirty])
    flagged = np.array([said[row]["suspect"] for row in dirty])
    result = outcome.result
    found = measures.of_ranking(probability, flagged, wrong[dirty])
    found |= {"calibration_error": measures.calibration_error(probability, wrong[dirty]), **_handed_over(result)}
    number, interval = int(wrong[dirty].sum()), result["wrong_rows"]
    return found | {
        "calibration": measures.calibration(probability, wrong[dirty]),
        "wrong": number,
        "expected": interval["expected"],
        "held": interval["low"] <= number <= interval["high"],
        "per": result["per"],
        "models": {each["name"]: [each["test_score"], each["test_loss"]] for each in result["models"]},
        "seconds": seconds,
    }


def strengths(cell: StrengthCell, csv: Path, arrays: Path) -> Measures:
    """The test loss of the model that a default job hands over; what it learned from goes to ``arrays``."""
    table = pyarrow.csv.read_csv(csv)
    rng = np.random.default_rng(cell.seed)
    for column in range(cell.noise_columns):
        table = table.append_column(f"noise {column}", pa.array(rng.standard_normal(len(table))))
    dataset: dict[str, Any] = {"split": {"seed": cell.seed}}
    if not pa.types.is_string(table["label"].type):
        dataset["task"] = "regression"  # miles per gallon are few different whole numbers
    spec: dict[str, Any] = {"kind": "regularization_tuning", "dataset": dataset}
    with uploaded(table, spec, UploadOptions("label")) as (named, up):
        begun = time.perf_counter()
        outcome = _solved(named, up)
        seconds = time.perf_counter() - begun
        prepared = training_data.prepare(training_data.load(named.dataset, (), up), named)
    splits = prepared.splits
    rest = _not_for_the_test(splits)
    np.savez(
        arrays,
        question="strengths",
        x=np.vstack([part.features for part in rest]),
        given=np.concatenate([part.targets for part in rest]),
        x_test=splits.test.features,
        y_test=splits.test.targets,
        classes=len(prepared.dataset.classes or ()),
        seconds=seconds,
    )
    return _handed_over(outcome.result) | {"seconds": seconds}


def _parts(cell: Cell, rows: int) -> np.ndarray[Any, Any]:
    """Which part each row plays, by chance: trusted rows are those of validation."""
    order = np.random.default_rng(cell.seed).permutation(rows)
    test = round(TEST * rows)
    rest = rows - test
    parts = np.full(rows, "train", dtype="U10")
    parts[order[:test]] = "test"
    validation = max(4, round(0.15 * rest)) if cell.trusted == "unknown" else cell.trusted_rows(rest)
    parts[order[test : test + validation]] = "validation"
    return parts


def _reweighting(cell: Cell) -> dict[str, Any]:
    dataset: dict[str, Any] = {"split": {"column": "part"}}
    if cell.trusted == "unknown":
        dataset["trusted"] = "unknown"
    model = {"model": MLP} if cell.model == "mlp" else {}
    return {"kind": "data_reweighting", "dataset": dataset, **model}


def _marked(table: pa.Table, parts: Any, given: Any) -> pa.Table:
    table = table.set_column(table.column_names.index("label"), "label", pa.array(given.tolist()))
    return table.append_column("part", pa.array(parts.tolist())).append_column("id", pa.array(range(len(table))))


@contextmanager
def uploaded(
    table: pa.Table, spec: dict[str, Any], options: UploadOptions
) -> Iterator[tuple[JobSpec, dict[str, training_data.Upload]]]:
    """``table`` as a file that somebody sent, and ``spec`` naming it."""
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "sent.csv", Path(folder) / "kept.parquet"
        pyarrow.csv.write_csv(table, source)
        description = ingest(source, target, options)
        upload = training_data.Upload("ds_benchmark", "sent.csv", description, lambda: target.open("rb"))
        named = {**spec, "dataset": {**spec["dataset"], "id": upload.id}}
        yield JobSpec.model_validate(named), {upload.id: upload}


def _solved(spec: JobSpec, uploads: dict[str, training_data.Upload]) -> Outcome:
    run = Run(spec, uploads=uploads)
    for _ in run.iterations():
        pass
    return run.finish()


def _handed_over(result: dict[str, Any]) -> Measures:
    (model,) = [model for model in result["models"] if model["name"] == result["handed_over"]]
    return {"accuracy": model["test_score"], "loss": model["test_loss"], "handed_over": result["handed_over"]}


def _not_for_the_test(splits: training_data.Splits) -> list[training_data.Part]:
    return [part for part in (splits.train, splits.validation, splits.selection) if part is not None]


def _features(prepared: training_data.Prepared) -> np.ndarray[Any, Any]:
    """The features of all rows as the model sees them, (n, d)."""
    parts = [*_not_for_the_test(prepared.splits), prepared.splits.test]
    order = np.argsort(np.concatenate([part.rows for part in parts]))
    rows: np.ndarray[Any, Any] = np.vstack([part.features for part in parts])[order]
    return rows


def _save(
    file: Path,
    prepared: training_data.Prepared,
    dirty: Any,
    wrong: Any,
    *,
    hidden: int,
    trusts: str,
) -> None:
    dataset, splits, features = prepared.dataset, prepared.splits, _features(prepared)
    checked = [part.rows for part in _not_for_the_test(splits)[1:]]
    trusted = np.array([], dtype=int) if trusts == "unknown" else np.concatenate(checked)
    np.savez(
        file,
        question="labels",
        x=features[dirty],
        given=dataset.targets[dirty],
        wrong=wrong[dirty],
        x_trusted=features[trusted],
        y_trusted=dataset.targets[trusted],
        x_test=splits.test.features,
        y_test=splits.test.targets,
        classes=len(dataset.classes or ()),
        hidden=hidden,
    )
