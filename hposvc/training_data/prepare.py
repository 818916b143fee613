"""From a job spec to the arrays of its job, and everything that can be refused before it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hposvc import shapes
from hposvc.schema import cautions
from hposvc.schema.spec import DatasetSpec, FilesSplit, JobSpec
from hposvc.tables.defects import DataError, Defect
from hposvc.training_data import bundled, uploaded
from hposvc.training_data.dataset import Dataset, listed, select
from hposvc.training_data.noise import PlantedNoise, plant
from hposvc.training_data.rules import RULES, batch_defects, noise_defects
from hposvc.training_data.splits import RowIndices, Splits, divide, standardize
from hposvc.training_data.table import Table
from hposvc.training_data.uploaded import Upload


@dataclass(frozen=True)
class Prepared:
    """The rows of a job, and apart from them what was planted: ``planted`` never goes to a solver.

    ``dataset`` is the data set with its features, as the training rows made them.
    """

    splits: Splits
    planted: PlantedNoise | None
    dataset: Dataset


def find(spec: DatasetSpec, uploads: Mapping[str, Upload] | None = None) -> Table:
    """The table that ``spec`` names, a bundled one or of ``uploads`` by id. Raises DataError."""
    known = uploads or {}
    if isinstance(spec.split, FilesSplit) or spec.id not in bundled.names():
        fields = ("dataset.id", "dataset.split.validation", "dataset.split.test")
        remedy = f"choose one of {listed([*known, *bundled.names()])}, or upload one"
        unknown = [
            Defect(
                field,
                f"there is no uploaded data set {name!r}"
                if name in bundled.names()
                else f"there is no data set {name!r}",
                remedy,
            )
            for field, name in zip(fields, spec.ids, strict=False)
            if name not in known
        ]
        if unknown:
            raise DataError(unknown)
        return uploaded.table([known[name] for name in spec.ids])
    return bundled.table(spec.id)


def load(spec: DatasetSpec, group_columns: Sequence[str] = (), uploads: Mapping[str, Upload] | None = None) -> Dataset:
    """The data set that ``spec`` names, bundled or one of ``uploads`` by id, with the groups of ``group_columns``.

    Raises:
        DataError: all defects found, each naming its field.
    """
    table = find(spec, uploads)
    return select(uploaded.labelled(table, str(spec.label or table.label), spec.unlabelled), spec, group_columns)


def prepare(dataset: Dataset, spec: JobSpec) -> Prepared:
    """Divide, plant, standardize: always the same arrays for the same spec. Raises DataError."""
    rows = divide(dataset, spec)
    dataset = dataset.encoded(rows.train)
    labels, planted = dataset.targets[rows.train], None
    noise = spec.data.label_noise
    if noise is not None:
        if dataset.classes is None:
            raise DataError(list(noise_defects(dataset, spec)))
        labels, planted = plant(labels, rows.train, len(dataset.classes), len(dataset.targets), noise)
    return Prepared(standardize(dataset, rows, labels), planted, dataset)


class Checked(NamedTuple):
    """A spec that can run: with what the data set itself says filled in, its label, column of ids and task; and what
    is doubtful about the data and its settings, in sentences.
    """

    spec: JobSpec
    cautions: tuple[str, ...]


def check(spec: JobSpec, uploads: Mapping[str, Upload] | None = None) -> Checked:
    """Refuse what can be seen at the door, without training. Raises DataError with all defects found."""
    dataset = load(spec.data, spec.hyperparameters.group_columns, uploads)
    rows, found = _examined(dataset, spec)
    if rows is None or found:
        raise DataError(found)
    said = {"label": dataset.target_name, "id_column": dataset.id_name, "task": dataset.task}
    checked = spec.model_copy(update={"dataset": spec.data.model_copy(update=said)})
    sizes = cautions.Sizes(len(rows.validation), _hyperparameters(dataset, spec))
    return Checked(checked, (*dataset.cautions, *cautions.of_spec(spec, sizes)))


def defects(dataset: Dataset, spec: JobSpec) -> list[Defect]:
    """Everything about ``spec`` that cannot work on ``dataset``; empty if it can run."""
    return _examined(dataset, spec)[1]


def _examined(dataset: Dataset, spec: JobSpec) -> tuple[RowIndices | None, list[Defect]]:
    """How the rows divide, if they can be divided, and all defects."""
    found = [defect for rule in RULES for defect in rule(dataset, spec)]
    try:
        rows = divide(dataset, spec)
    except DataError as error:
        return None, found + error.defects
    return rows, found + list(batch_defects(rows, spec))


def _hyperparameters(dataset: Dataset, spec: JobSpec) -> int:
    """How many strengths are tuned, or at most will be; of weights, which have no cautions of their own, none."""
    if spec.kind == "data_reweighting":
        return 0
    matrices = _matrices(dataset, spec)
    counts = {
        "model": 1,
        "layer": len(matrices),
        "feature": dataset.width + len(matrices) - 1,
        "parameter": sum(inputs * outputs for inputs, outputs in matrices),
    }
    return counts[spec.per] * (2 if spec.hyperparameters.penalty == "elastic_net" else 1)


def _matrices(dataset: Dataset, spec: JobSpec) -> list[tuple[int, int]]:
    """The shapes of the model's weight matrices; a convolution's has a row for each weight of the kernel."""
    model, outputs = spec.model, len(dataset.classes or "1")
    if model.type == "cnn":
        image = dataset.image_shape or (0, 0, 0)
        return shapes.convolutional(image, model.channels, model.kernel, model.hidden, outputs)
    return shapes.dense([dataset.width, *([] if model.type == "linear" else model.hidden), outputs])
