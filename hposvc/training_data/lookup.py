"""Rows of a data set by their ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hposvc.schema.rows import Image, JobRows, Row
from hposvc.training_data.dataset import Dataset


def with_ids(dataset: Dataset, ids: Sequence[str]) -> JobRows:
    """The rows of ``dataset`` with these ``ids``, in their order; ids that no row has are left out."""
    dataset = dataset.encoded(np.arange(len(dataset.targets)))
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
