"""Rows of a job's dataset by their ids, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hposvc.jobs.resources import Resource

if TYPE_CHECKING:
    from hposvc.data import Dataset  # which loads scikit-learn

MOST_ROWS = 100


class Image(Resource):
    """The shape of rows that are images, and the range of all pixels of the dataset."""

    height: int
    width: int
    channels: int
    low: float
    high: float


class Row(Resource):
    """One row: its id, the label that the dataset gives it, and its features; pixels go row by row, channels last."""

    id: str
    label: str
    values: list[float]


class JobRows(Resource):
    """Rows of a dataset; ``image`` is null unless they are images."""

    features: list[str]
    image: Image | None
    items: list[Row]


NO_ROWS = JobRows(features=[], image=None, items=[])


def with_ids(dataset: Dataset, ids: Sequence[str]) -> JobRows:
    """The rows of ``dataset`` with these ``ids``, in their order; ids that no row has are left out."""
    order = np.argsort(dataset.row_ids, kind="stable")
    places = order[np.minimum(np.searchsorted(dataset.row_ids, ids, sorter=order), len(order) - 1)]
    found = [(wanted, place) for wanted, place in zip(ids, places, strict=True) if dataset.row_ids[place] == wanted]
    image = None
    if dataset.image_shape is not None:
        height, width, channels = dataset.image_shape
        low, high = float(dataset.features.min()), float(dataset.features.max())
        image = Image(height=height, width=width, channels=channels, low=low, high=high)
    classes = dataset.classes
    return JobRows(
        features=list(dataset.feature_names),
        image=image,
        items=[
            Row(
                id=wanted,
                label=classes[dataset.targets[place]] if classes else f"{dataset.targets[place]:.6g}",
                values=dataset.features[place].tolist(),
            )
            for wanted, place in found
        ],
    )
