"""From a job spec to the arrays of its job, and everything that can be refused before it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hposvc.schema import cautions
from hposvc.schema.spec import DatasetSpec, FilesSplit, JobSpec
from hposvc.tables.defects import DataError, Defect
from hposvc.training_data import bundled, uploaded
from hposvc.training_data.dataset import Dataset, Table, listed, select
from hposvc.training_data.noise import PlantedNoise, plant
from hposvc.training_data.splits import RowIndices, Splits, divide, standardize
from hposvc.training_data.uploaded import Upload

# A job keeps a dozen arrays of the size of its parameters and of its activations.
MOST_PARAMETERS = 50_000_000
MOST_ACTIVATIONS = 500_000_000

# More groups than this are rows by another name.
MOST_GROUPS = 10_000


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
    return select(find(spec, uploads), spec, group_columns)


def prepare(dataset: Dataset, spec: JobSpec) -> Prepared:
    """Divide, plant, standardize: always the same arrays for the same spec. Raises DataError."""
    rows = divide(dataset, spec)
    dataset = dataset.encoded(rows.train)
    labels, planted = dataset.targets[rows.train], None
    noise = spec.dataset.label_noise
    if noise is not None:
        if dataset.classes is None:
            raise DataError(list(_noise_defects(dataset, spec)))
        labels, planted = plant(labels, rows.train, len(dataset.classes), len(dataset.targets), noise)
    return Prepared(standardize(dataset, rows, labels), planted, dataset)


class Checked(NamedTuple):
    """A spec that can run: with what the data set itself says filled in, its label, column of ids and task; and what
    is doubtful about its settings, in sentences.
    """

    spec: JobSpec
    cautions: tuple[str, ...]


def check(spec: JobSpec, uploads: Mapping[str, Upload] | None = None) -> Checked:
    """Refuse what can be seen at the door, without training. Raises DataError with all defects found."""
    dataset = load(spec.dataset, spec.hyperparameters.group_columns, uploads)
    rows, found = _examined(dataset, spec)
    if rows is None or found:
        raise DataError(found)
    said = {"label": dataset.target_name, "id_column": dataset.id_name, "task": dataset.task}
    checked = spec.model_copy(update={"dataset": spec.dataset.model_copy(update=said)})
    sizes = cautions.Sizes(len(rows.validation), _hyperparameters(dataset, spec))
    return Checked(checked, tuple(cautions.of_spec(spec, sizes)))


def defects(dataset: Dataset, spec: JobSpec) -> list[Defect]:
    """Everything about ``spec`` that cannot work on ``dataset``; empty if it can run."""
    return _examined(dataset, spec)[1]


def _examined(dataset: Dataset, spec: JobSpec) -> tuple[RowIndices | None, list[Defect]]:
    """How the rows divide, if they can be divided, and all defects."""
    found = [defect for rule in _RULES for defect in rule(dataset, spec)]
    try:
        rows = divide(dataset, spec)
    except DataError as error:
        return None, found + error.defects
    return rows, found + list(_batch_defects(rows, spec))


def _class_defects(dataset: Dataset, spec: JobSpec) -> Iterator[Defect]:
    if dataset.classes is None:
        if np.ptp(dataset.targets) == 0:
            yield Defect(
                "dataset.label",
                f"column {dataset.target_name!r} has the same value in every row",
                "name a column that varies",
            )
    elif len(dataset.classes) < 2:
        yield Defect(
            "dataset.label", f"column {dataset.target_name!r} holds a single class", "name a column with at least two"
        )
    elif len(dataset.classes) > len(dataset.targets) // 3:
        yield Defect(
            "dataset.label",
            f"column {dataset.target_name!r} has {len(dataset.classes)} classes in {len(dataset.targets)} rows",
            "name a column with at least three rows to a class, or store numbers as floats",
        )


def _noise_defects(dataset: Dataset, spec: JobSpec) -> Iterator[Defect]:
    if dataset.task == "regression" and spec.dataset.label_noise is not None:
        yield Defect(
            "dataset.label_noise",
            f"column {dataset.target_name!r} holds numbers, and only classes can be swapped",
            "leave label_noise out, or name a label column of classes",
        )


def _loss_defects(dataset: Dataset, spec: JobSpec) -> Iterator[Defect]:
    loss = spec.loss
    if loss is None:
        return
    if (loss.type == "cross_entropy") != (dataset.task == "classification"):
        holds = "numbers" if dataset.task == "regression" else "classes"
        fitting = "squared_error or huber" if dataset.task == "regression" else "cross_entropy"
        yield Defect(
            "loss.type",
            f"{loss.type} does not fit column {dataset.target_name!r}, which holds {holds}",
            f"use {fitting}",
        )
    elif loss.type == "cross_entropy" and isinstance(loss.class_weights, dict):
        for name in loss.class_weights.keys() - set(dataset.classes or ()):
            yield Defect(
                f"loss.class_weights.{name}",
                f"column {dataset.target_name!r} has no class {name!r}",
                f"the classes are {listed(dataset.classes or ())}",
            )


def _reweighting_defects(dataset: Dataset, spec: JobSpec) -> Iterator[Defect]:
    if spec.per == "noise_matrix" and dataset.task == "regression":
        yield Defect(
            "hyperparameters.per",
            "a noise matrix is between classes, and the labels are numbers",
            "use per: auto, opinion or posterior",
        )
    if spec.per == "class" and dataset.task == "regression":
        yield Defect(
            "hyperparameters.per",
            f"column {dataset.target_name!r} holds numbers, so there are no classes to weight",
            "use per: row",
        )


def _group_defects(dataset: Dataset, spec: JobSpec) -> Iterator[Defect]:
    field, columns = "hyperparameters.group_column", spec.hyperparameters.group_columns
    if not columns:
        return
    named = " and ".join(map(repr, columns))
    values = 0 if dataset.groups is None else len(np.unique(dataset.groups))
    if values < 2 or values > MOST_GROUPS:
        yield Defect(
            field,
            f"{named} give{'s' if len(columns) == 1 else ''} {values:,} groups",
            f"name columns that give 2 to {MOST_GROUPS:,}, or weight each row by per: row",
        )
    if dataset.target_name in columns and spec.dataset.label_noise is not None:
        yield Defect(field, f"column {dataset.target_name!r} still holds the labels before the noise", "use per: class")


def _image_defects(dataset: Dataset, spec: JobSpec) -> Iterator[Defect]:
    model = spec.model
    if model.type != "cnn":
        return
    if dataset.image_shape is None:
        yield Defect(
            "model.type",
            f"a cnn needs images, and the features of {dataset.id} are not pixels, or not all of them",
            "use type: mlp, or a data set of images with its own label and all of its features, like sklearn:digits",
        )
        return
    height, width, channels = dataset.image_shape
    most = min(height, width).bit_length() - 1
    if len(model.channels) > most:
        yield Defect(
            "model.channels",
            f"{len(model.channels)} convolutions, each halving the image, leave nothing of {height} × {width} pixels",
            f"use at most {most}",
        )
        return
    maps = [(height >> i) * (width >> i) * maps_ for i, maps_ in enumerate(model.channels)]
    flattened = (height >> len(maps)) * (width >> len(maps)) * model.channels[-1]
    widths = [flattened, *model.hidden, len(dataset.classes or "1")]
    convolutions = sum((model.kernel**2 * a + 1) * b for a, b in pairwise([channels, *model.channels]))
    yield from _too_many_parameters(convolutions + _dense_parameters(widths))
    # Refits and the upper loss take all rows at once, whatever the batch size; each map is kept, then pooled.
    rows, values = len(dataset.targets), sum(maps) * 5 // 4 + sum(widths)
    if rows * values > MOST_ACTIVATIONS:
        yield Defect(
            "model.channels",
            f"the activations of {rows:,} images, {values:,} numbers each, do not fit in memory",
            f"use fewer channels, until images times numbers stay below {MOST_ACTIVATIONS:,}",
        )


def _size_defects(dataset: Dataset, spec: JobSpec) -> Iterator[Defect]:
    if spec.model.type == "cnn":
        return
    hidden = [] if spec.model.type == "linear" else spec.model.hidden
    widths = [dataset.width, *hidden, len(dataset.classes or "1")]
    yield from _too_many_parameters(_dense_parameters(widths))
    batch = min(spec.solver.lower.batch_size or len(dataset.targets), len(dataset.targets))
    if batch * max(widths) > MOST_ACTIVATIONS:
        yield Defect(
            "solver.lower.batch_size",
            f"a batch of {batch:,} rows by {max(widths):,} units does not fit in memory",
            f"use a batch_size of at most {max(2, MOST_ACTIVATIONS // max(widths)):,}",
        )


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
    if model.type != "cnn":
        return list(pairwise([dataset.width, *([] if model.type == "linear" else model.hidden), outputs]))
    height, width, channels = dataset.image_shape or (0, 0, 0)
    convolutions = [(model.kernel**2 * a, b) for a, b in pairwise([channels, *model.channels])]
    flattened = (height >> len(convolutions)) * (width >> len(convolutions)) * model.channels[-1]
    return [*convolutions, *pairwise([flattened, *model.hidden, outputs])]


def _dense_parameters(widths: list[int]) -> int:
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))


def _too_many_parameters(parameters: int) -> Iterator[Defect]:
    if parameters > MOST_PARAMETERS:
        yield Defect("model.hidden", f"this model has {parameters:,} parameters", f"stay below {MOST_PARAMETERS:,}")


def _batch_defects(rows: RowIndices, spec: JobSpec) -> Iterator[Defect]:
    size, total = spec.solver.lower.batch_size, len(rows.train)
    if size is None:
        return
    if size > total:
        yield Defect(
            "solver.lower.batch_size",
            f"{size} is more than the {total} training rows",
            f"use at most {total}, or null for all rows at once",
        )
    elif total % size == 1:
        better = next(other for other in range(size - 1, 1, -1) if total % other != 1) if size > 2 else size + 1
        yield Defect(
            "solver.lower.batch_size",
            f"{size} leaves a last batch of one row ({total} training rows)",
            f"use {better}, for example",
        )


_RULES: tuple[Callable[[Dataset, JobSpec], Iterator[Defect]], ...] = (
    _class_defects,
    _noise_defects,
    _loss_defects,
    _reweighting_defects,
    _group_defects,
    _image_defects,
    _size_defects,
)
