"""Files as people have them: the values that they must give, for the upload, for training and for predictions alike."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hposvc.prediction import Predictor
from hposvc.run.artifacts import model_file
from hposvc.schema.spec import JobSpec
from hposvc.tables.ingest import ingest
from hposvc.tables.options import UploadOptions
from hposvc.tables.reading import format_of
from hposvc.training_data import Dataset, Upload, check, load, prepare

ROWS = 60
NUMBERS = [float(i) for i in range(ROWS)]


class Read:
    """A file after its upload, as a job learns from it, and as a prediction reads it again."""

    def __init__(self, path: Path, content: str | bytes, job: dict[str, Any] | None = None, **options: Any) -> None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.path = path
        stored = path.with_name("stored.parquet")
        self.description = ingest(path, format_of(path.name) or "csv", stored, UploadOptions(**options))
        self.columns = {column["name"]: column for column in self.description["columns"]}
        self.uploads = {"ds_1": Upload("ds_1", path.name, self.description, partial(stored.open, "rb"))}
        self._job = {"kind": "data_reweighting", "dataset": {"id": "ds_1"} | (job or {})}

    @property
    def spec(self) -> JobSpec:
        return check(JobSpec.model_validate(self._job), self.uploads).spec

    @property
    def cautions(self) -> list[str]:
        """What the check of a job says, which is what its result will say."""
        said = list(check(JobSpec.model_validate(self._job), self.uploads).cautions)
        assert said[: len(self.description["cautions"])] == self.description["cautions"]
        return said

    @property
    def dataset(self) -> Dataset:
        loaded = load(self.spec.dataset, uploads=self.uploads)
        return loaded.encoded(np.arange(len(loaded.targets)))

    @property
    def model(self) -> Predictor:
        """The model of a job on this file, as it is kept; trained or not, it reads files alike."""
        spec = self.spec
        prepared = prepare(load(spec.dataset, uploads=self.uploads), spec)
        outputs, width = len(prepared.dataset.classes or "1"), prepared.dataset.features.shape[1]
        w = [np.zeros((width, outputs)), np.zeros(outputs)]
        return Predictor.from_bytes(model_file(spec, prepared.dataset, prepared.splits, w))


def table(*columns: tuple[str, list[Any]], delimiter: str = ",") -> str:
    """CSV text of columns by name."""
    rows = zip(*(values for _, values in columns), strict=True)
    lines = [delimiter.join(name for name, _ in columns), *(delimiter.join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def cycle(*values: Any) -> list[Any]:
    return [values[i % len(values)] for i in range(ROWS)]


@pytest.mark.parametrize(
    ("values", "classes", "word"),
    [
        (cycle("0.0", "1.0"), ("0", "1"), "2 different whole numbers (0, 1)"),
        (cycle("-1", "1"), ("-1", "1"), "2 different whole numbers (-1, 1)"),
        (cycle("-1.0", "1.0"), ("-1", "1"), "2 different whole numbers (-1, 1)"),
        (cycle("1.0", "2.0", "3.0"), ("1", "2", "3"), "3 different whole numbers"),
        (cycle("0", "1"), ("0", "1"), None),
        (cycle("no", "yes"), ("no", "yes"), None),
    ],
)
def test_few_whole_numbers_are_classes_and_it_is_said(
    values: list[str], classes: tuple[str, ...], word: str | None, tmp_path: Path
) -> None:
    read = Read(tmp_path / "a.csv", table(("x", NUMBERS), ("y", values)), label="y")
    assert read.dataset.classes == classes
    assert read.model.classes == classes
    said = [caution for caution in read.cautions if "whole numbers" in caution]
    assert [word in caution for caution in said] == ([] if word is None else [True])
    assert read.description["label_cautions"] == said
    as_numbers = Read(tmp_path / "b.csv", table(("x", NUMBERS), ("y", values)), {"label": "y"})
    assert as_numbers.dataset.classes == classes  # the job names the label, not the upload
    if word is not None:
        for read in (
            Read(tmp_path / "c.csv", table(("x", NUMBERS), ("y", values)), label="y", task="regression"),
            Read(tmp_path / "d.csv", table(("x", NUMBERS), ("y", values)), {"task": "regression"}, label="y"),
        ):
            assert read.dataset.targets.tolist() == [float(value) for value in values]
            assert read.cautions == []


def test_numbers_that_are_not_whole_stay_numbers(tmp_path: Path) -> None:
    read = Read(tmp_path / "a.csv", table(("x", NUMBERS), ("y", cycle("0.5", "1.0"))), label="y")
    assert read.dataset.classes is None


def test_classes_that_differ_by_case_or_spaces_get_a_caution(tmp_path: Path) -> None:
    values = cycle("Yes", "yes", " YES ", "no")
    read = Read(tmp_path / "a.csv", table(("x", NUMBERS), ("y", values)), label="y")
    assert read.dataset.classes == ("YES", "Yes", "no", "yes")
    assert any("'YES', 'Yes', 'yes' of 'y' differ by case or spaces only" in said for said in read.cautions)
