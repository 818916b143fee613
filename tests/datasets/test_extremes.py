"""Columns of extreme values of each kind: upload, training and prediction read them alike, or they are refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hposvc.prediction import Predictor
from hposvc.run.artifacts import model_file
from hposvc.schema.spec import JobSpec
from hposvc.tables import DataError
from hposvc.tables.describe import describe
from hposvc.tables.kinds import as_text, kind_of
from hposvc.tables.options import Reading, UploadOptions
from hposvc.tables.reading import read, read_table, write
from hposvc.training_data import Upload, check, load, prepare

ROWS = 40
# fmt: off
EXTREMES: dict[str, list[str]] = {
    "integer": [
        "0", "-1", "+5", "-0", "1", "2", "3", "9007199254740992", "9007199254740993", "-9007199254740993",
        "999999999999999", "1000000000000000", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
        "007", "1e3", "1_000",
    ],
    "number": [
        "1e308", "-1e308", "1.7976931348623157e308", "5e-324", "1e309", "-0.0", "inf", "-Infinity", "nan", "0.1",
        "1e-400", ".5", "5.", "1e5", "1E-5", "2.5", "0.30000000000000004", "123456789012345678.5", "-.0", "+1.5",
    ],
    "notation": [
        "$1,234.50", "$-3", "1,234", "1.234,5", "12 %", "3.5%", "(1,234.00)", "1'234.5", "1 234", "\u22125", "€ 0,5",
        "1\u202f234,5", "1,000,000,000,000,000", "%", "$", "1,23,4", "5",
    ],
    "boolean": [
        "true", "false", "True", "FALSE", "t", "f", "yes", "no", "1", "0", "on",
    ],
    "date": [
        "0001-01-01", "9999-12-31", "1600-02-29", "1677-09-20", "2262-04-12", "0000-01-01", "10000-01-01",
        "2024-02-30", "2024-02-29", "2024-12-31T23:59:59.999999", "2024-12-31T24:00", "2024-12-31T00:00:00Z",
        "2024-12-31T00:00:00+14:00", "31/12/9999", "1/1/0001", "12/31/24", "31.12.1582", "1969-12-31T23:59:59",
    ],
    "text": [
        "a", "b", "é", "e\u0301", "\u202e", "😀", "a" * 1000, "=1+1", "@x", "NA", "null", "\"", "a\tb", "\ufeffa",
        "0x10", "a\nb", "\u2028", "a,b", "a;b", "'", "\u007f", "İ", "ß", "Infinity and more", "none", " a ", "\\N",
        "%s",
    ],
}
# fmt: on
EVERYTHING = sorted({value for values in EXTREMES.values() for value in values} - {"x"})


@st.composite
def columns(draw: st.DrawFn, kind: str) -> list[str]:
    """Values of one kind in turn, most of which agree, with holes and one that may be of any kind."""
    few = draw(st.lists(st.sampled_from(EXTREMES[kind]), min_size=2, max_size=4, unique=True))
    values = [few[row % len(few)] for row in range(ROWS)]
    for row in draw(st.lists(st.integers(0, ROWS - 1), max_size=3)):
        values[row] = ""
    if draw(st.booleans()):
        values[draw(st.integers(0, ROWS - 1))] = draw(st.sampled_from(EVERYTHING))
    return values


def file_of(folder: Path, named: dict[str, list[str]]) -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([named.keys(), *zip(*named.values(), strict=True)])
    path = folder / "a.csv"
    path.write_text(text.getvalue(), newline="")
    return path


class Job:
    """A file after its upload, as ``hposvc.tables.ingest`` reads it in its process, and a job on it."""

    def __init__(self, folder: Path, path: Path, label: str) -> None:
        stored, reading = folder / "stored.parquet", Reading()
        total, infinite = write(rows := read(path, reading, folder), stored)
        options = UploadOptions(label=label, unlabelled="leave_out")
        description = describe(rows, total, stored, options, infinite)
        self.stored = pq.read_table(stored)
        uploads = {"ds": Upload("ds", path.name, description, partial(stored.open, "rb"))}
        spec = check(JobSpec.model_validate({"kind": "data_reweighting", "dataset": {"id": "ds"}}), uploads).spec
        prepared = prepare(load(spec.dataset, uploads=uploads), spec)
        self.dataset = prepared.dataset
        width, outputs = self.dataset.features.shape[1], len(self.dataset.classes or "1")
        w = [np.zeros((width, outputs)), np.zeros(outputs)]
        self.model = Predictor.from_bytes(model_file(spec, self.dataset, prepared.splits, w))
        table = read_table(path, self.model.reading)
        self.again = {name: table[name] for name in table.column_names}


@pytest.fixture
def folders() -> Iterator[Any]:
    """A new folder for each example."""
    with TemporaryDirectory() as folder:
        numbers = iter(range(10**6))

        def new() -> Path:
            path = Path(folder) / str(next(numbers))
            path.mkdir()
            return path

        yield new


few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", EXTREMES)
@few
@given(data=st.data())
def test_a_feature_is_read_alike(kind: str, folders: Any, data: st.DataObject) -> None:
    values, folder = data.draw(columns(kind)), folders()
    y = ["no", "yes"] * (ROWS // 2)
    path = file_of(folder, {"x": [f"{row}.5" for row in range(ROWS)], "f": values, "y": y})
    try:
        job = Job(folder, path, "y")
    except DataError:
        return  # refused at the door, with its place
    features, _ = job.model.encoding.apply(job.model.tidied(job.again))
    np.testing.assert_array_equal(features, job.dataset.features)
    assert np.isfinite(features).all()
    stored = job.stored["f"]
    if "f" in job.dataset.feature_names and kind_of(stored.type) in ("integer", "number"):
        there = np.array([value is not None for value in stored.to_pylist()])
        seen = features[there, list(job.dataset.feature_names).index("f")]
        np.testing.assert_array_equal(seen, [float(value) for value in stored.to_pylist() if value is not None])
    found = job.model.predict(job.again)
    assert found.score is not None
    assert len(found.labels) == ROWS


@pytest.mark.parametrize("kind", EXTREMES)
@few
@given(data=st.data())
def test_a_label_is_read_alike(kind: str, folders: Any, data: st.DataObject) -> None:
    values, folder = data.draw(columns(kind)), folders()
    path = file_of(folder, {"x": [f"{row}.5" for row in range(ROWS)], "f": values})
    try:
        job = Job(folder, path, "f")
    except DataError:
        return
    labelled = [row for row, value in enumerate(job.stored["f"].to_pylist()) if value is not None]
    rows = {name: column.take(labelled) for name, column in job.again.items()}
    warnings: list[str] = []
    truth = job.model._truth(job.model.tidied(rows), warnings)
    assert warnings == []
    assert truth is not None
    targets = job.dataset.targets
    wanted = targets if job.dataset.classes is None else np.array(job.dataset.classes)[targets.astype(int)]
    np.testing.assert_array_equal(truth, wanted)
    stored = job.stored["f"].take(labelled)
    if job.dataset.classes is None:
        np.testing.assert_array_equal(truth, [float(value) for value in stored.to_pylist()])
    elif kind_of(stored.type) == "text":
        assert truth.tolist() == as_text(stored).to_pylist()
    assert len(job.model.predict(rows).labels) == len(labelled)
