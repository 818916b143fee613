"""The handwritten digits of scikit-learn in three parts, with wrong labels planted in the first."""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits


class Parts(NamedTuple):
    """Features (n, 64) and labels (n,) for training, validation and test; which training labels are wrong, (n,)."""

    train: dict
    validation: dict
    test: dict
    wrong: np.ndarray


def parts(rows: int, noise: float, seed: int) -> Parts:
    """``rows`` digits for training, half as many for validation, and the others for the test."""
    digits = load_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(digits.target))
    x, y = digits.data[order] / 16 - 0.5, digits.target[order].astype(np.int32)
    ends = rows, rows + rows // 2
    train, validation, test = (
        {"x": x[part], "y": y[part]} for part in (slice(ends[0]), slice(*ends), slice(ends[1], None))
    )
    wrong = np.arange(rows) < round(noise * rows)
    train["y"] = np.where(wrong, (train["y"] + rng.integers(1, 10, rows)) % 10, train["y"]).astype(np.int32)
    return Parts(train, validation, test, wrong)
