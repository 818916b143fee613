"""What the ranking, the marking and the model of a method are judged by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

BINS = 15


def of_ranking(suspicion: Floats, flagged: Marks, wrong: Marks) -> dict[str, float]:
    """Of n rows: how suspicious each is, which are flagged, and which are wrong indeed.

    Where no row is wrong, only the share that is flagged says anything.
    """
    found = {"flagged": float(flagged.mean())}
    if not wrong.any() or wrong.all():
        return found
    first = np.argsort(-suspicion, kind="stable")
    return found | {
        "area": float(roc_auc_score(wrong, suspicion)),
        "average_precision": float(average_precision_score(wrong, suspicion)),
        "f1": float(f1_score(wrong, flagged, zero_division=0)),
        "first_20": float(wrong[first[:20]].mean()),
        "first_100": float(wrong[first[:100]].mean()),
    }


def calibration(probability: Floats, wrong: Marks) -> list[tuple[float, float, float]]:
    """By bin of equal width: the share of all rows, their mean probability, and how many of them are wrong."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    held = [bins == each for each in range(BINS) if (bins == each).any()]
    return [(float(rows.mean()), float(probability[rows].mean()), float(wrong[rows].mean())) for rows in held]


def calibration_error(probability: Floats, wrong: Marks) -> float:
    """The expected calibration error over equal bins (Naeini et al., 2015)."""
    return sum(share * abs(said - true) for share, said, true in calibration(probability, wrong))


def of_probabilities(probabilities: Floats, labels: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy and mean log loss of a model's ``probabilities`` (n, k) on right ``labels`` (n,)."""
    given = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
        "loss": float(-np.log(np.maximum(given, 1e-12)).mean()),
    }
