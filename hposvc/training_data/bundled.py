"""The data sets that come with scikit-learn: there from the start, nothing to upload."""

from __future__ import annotations

from functools import cache

import numpy as np

from hposvc.training_data.table import Table

_LABEL = "target"
_LOADERS: dict[str, tuple[str, str]] = {
    "sklearn:digits": ("Handwritten digits, 8 × 8 pixels", "load_digits"),
    "sklearn:wine": ("Wine cultivars by chemical analysis", "load_wine"),
    "sklearn:breast_cancer": ("Breast cancer, Wisconsin diagnostic", "load_breast_cancer"),
    "sklearn:iris": ("Iris species by flower size", "load_iris"),
    "sklearn:diabetes": ("Diabetes progression after one year", "load_diabetes"),
}


def names() -> list[str]:
    """The ids of all bundled sets."""
    return list(_LOADERS)


@cache
def table(dataset_id: str) -> Table:
    """The columns of one bundled set. Raises KeyError for an id that is not in ``names()``."""
    from sklearn import datasets  # here: it takes a second, which those that only list do without

    title, loader = _LOADERS[dataset_id]
    bunch = getattr(datasets, loader)()
    columns = {str(name): bunch.data[:, i].astype(np.float64) for i, name in enumerate(bunch.feature_names)}
    categories = {}
    if "target_names" in bunch:
        categories[_LABEL] = tuple(str(name) for name in bunch.target_names)
        columns[_LABEL] = bunch.target.astype(np.int64)
    else:
        columns[_LABEL] = bunch.target.astype(np.float64)
    for values in columns.values():
        values.flags.writeable = False  # the table is shared between callers
    image_shape = (*bunch.images.shape[1:], 1) if "images" in bunch else None
    return Table(dataset_id, title, columns, categories, _LABEL, image_shape)
