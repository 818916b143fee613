"""Wrong labels, planted on purpose to see whether a job finds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hposvc.schema.spec import LabelNoise
from hposvc.training_data.table import Integers


@dataclass(frozen=True)
class PlantedNoise:
    """Which training rows were given a wrong label. Only the scoring of a finished job may look at it.

    ``wrong`` (n,) is true where the label was changed, ``labels`` (n,) holds what the labels were.
    """

    wrong: NDArray[np.bool_]
    labels: Integers

    @property
    def changed(self) -> int:
        """How many rows have a wrong label."""
        return int(self.wrong.sum())


def plant(
    labels: Integers,
    rows: Integers,
    classes: int,
    total: int,
    noise: LabelNoise,
) -> tuple[Integers, PlantedNoise]:
    """Change ``round(rate · n)`` of ``labels`` (n,) to one of the other ``classes``, each equally likely.

    ``rows`` (n,) are the rows' indices in a data set of ``total`` rows: what would happen to each depends on the
    noise's seed only, not on how the data were divided. Returns the labels that the job sees, and what was done.
    """
    random = np.random.default_rng(noise.seed)
    order, shift = random.permutation(total), random.integers(1, classes, total)
    wrong = np.zeros(len(rows), dtype=bool)
    wrong[np.argsort(order[rows])[: round(noise.rate * len(rows))]] = True
    noisy = np.where(wrong, (labels + shift[rows]) % classes, labels)
    return noisy, PlantedNoise(wrong, labels.copy())
