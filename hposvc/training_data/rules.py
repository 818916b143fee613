"""What a data set and a spec must fulfil to be run, one rule a function: each yields the defects that it finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from hposvc import shapes
from hposvc.schema.spec import JobSpec
from hposvc.tables.defects import Defect
from hposvc.training_data.dataset import Dataset, listed
from hposvc.training_data.splits import RowIndices

# A job keeps a dozen arrays of the size of its parameters and of its activations.
MOST_PARAMETERS = 50_000_000
MOST_ACTIVATIONS = 500_000_000

# More groups than this are rows by another name.
MOST_GROUPS = 10_000


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


def noise_defects(dataset: Dataset, spec: JobSpec) -> Iterator[Defect]:
    """Label noise can be planted in classes only."""
    if dataset.task == "regression" and spec.data.label_noise is not None:
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
    if dataset.target_name in columns and spec.data.label_noise is not None:
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
    image = dataset.image_shape
    height, width, _ = image
    most = shapes.halvings(image)
    if len(model.channels) > most:
        yield Defect(
            "model.channels",
            f"{len(model.channels)} convolutions, each halving the image, leave nothing of {height} × {width} pixels",
            f"use at most {most}",
        )
        return
    outputs = len(dataset.classes or "1")
    matrices = shapes.convolutional(image, model.channels, model.kernel, model.hidden, outputs)
    yield from _too_many_parameters(shapes.parameters(matrices))
    maps = [math.prod(shapes.pooled(image, i)) * made for i, made in enumerate(model.channels)]
    widths = [shapes.flattened(image, model.channels), *model.hidden, outputs]
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
    yield from _too_many_parameters(shapes.parameters(shapes.dense(widths)))
    batch = min(spec.solver.lower.batch_size or len(dataset.targets), len(dataset.targets))
    if batch * max(widths) > MOST_ACTIVATIONS:
        yield Defect(
            "solver.lower.batch_size",
            f"a batch of {batch:,} rows by {max(widths):,} units does not fit in memory",
            f"use a batch_size of at most {max(2, MOST_ACTIVATIONS // max(widths)):,}",
        )


def _too_many_parameters(parameters: int) -> Iterator[Defect]:
    if parameters > MOST_PARAMETERS:
        yield Defect("model.hidden", f"this model has {parameters:,} parameters", f"stay below {MOST_PARAMETERS:,}")


def batch_defects(rows: RowIndices, spec: JobSpec) -> Iterator[Defect]:
    """A batch is at most all training rows, and leaves no last batch of a single row."""
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


RULES: tuple[Callable[[Dataset, JobSpec], Iterator[Defect]], ...] = (
    _class_defects,
    noise_defects,
    _loss_defects,
    _reweighting_defects,
    _group_defects,
    _image_defects,
    _size_defects,
)
