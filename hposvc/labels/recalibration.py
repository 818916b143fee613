"""Probabilities that a label is wrong, corrected by what the same models say of trusted rows.

A trusted row has a right label, and no model that speaks of it has seen it. So the probabilities p that its label is
wrong show what ordinary difficulty looks like. Unchecked rows are a mixture: if p(s) is the probability that a row of
score s is wrong, right rows have the density f(s) (1 − p(s)) / (1 − π) where f is that of unchecked rows, π the mean of
p over them. Trusted rows s_j are a sample of it, with the likelihood

    Π_j (1 − p(s_j)) / (1 − π)

which compares the two samples as in learning from positive and unlabelled rows (Elkan and Noto, 2008, "Learning
Classifiers from Only Positive and Unlabeled Data"). Here p(s) = σ(a + b s), s the logit of the probability that is
corrected (Platt scaling), and everything is averaged over a and b.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SHIFTS = np.linspace(-8, 8, 33)
"""Values of a."""

SLOPES = np.geomspace(0.35, 2.0, 7)
"""Values of b."""

SHIFT_SCALE, UNCHECKED_SCALE, SLOPE_SPREAD = 0.5, 1.0, 0.3
"""The prior: Cauchy for a, and log b ~ N(0, 0.3²). Its tails are heavy: the models may be wrong by much. It is wider
where there is no trusted row.
"""

UPWARDS = 4.0
"""And e^{−a / 4} for a > 0: the mixture bounds the number of wrong rows from above better than from below."""

LEAST = 1e-3
"""Probabilities below this, and above one minus it, say much the same."""

TINY = 1e-6


class Recalibrated(NamedTuple):
    """The corrected probability of each of n rows, (n,), and the number of wrong rows and its weight by a and b."""

    wrong: Floats
    numbers: Floats
    weights: Floats
    variance: float


def recalibrate(wrong: Floats, wrong_if_trusted: Floats) -> Recalibrated:
    """Correct ``wrong`` (n,) of unchecked rows by ``wrong_if_trusted`` (m,), what is said of labels that are right.

    Costs n + m numbers for each of some two hundred pairs of a and b.
    """
    scores, trusted = _logit(wrong), _logit(wrong_if_trusted)
    a, b = (each.ravel() for each in np.meshgrid(SHIFTS, SLOPES))
    values, numbers = np.empty(len(a)), np.empty(len(a))
    for place, (shift, slope) in enumerate(zip(a, b, strict=True)):
        numbers[place] = _sigmoid(shift + slope * scores).sum()
        right = np.log(_sigmoid(-shift - slope * trusted)).sum()
        values[place] = right - len(trusted) * np.log(max(1 - numbers[place] / len(scores), TINY))
    values -= np.log1p((a / (SHIFT_SCALE if len(trusted) else UNCHECKED_SCALE)) ** 2) + np.maximum(a, 0) / UPWARDS
    values -= 0.5 * (np.log(b) / SLOPE_SPREAD) ** 2
    weights = np.exp(values - values.max())
    weights /= weights.sum()
    mean, variance = np.zeros(len(scores)), 0.0
    for weight, shift, slope in zip(weights, a, b, strict=True):
        if weight > TINY:
            p = _sigmoid(shift + slope * scores)
            mean += weight * p
            variance += weight * float((p * (1 - p)).sum())
    return Recalibrated(mean, numbers, weights, variance)


def _logit(p: Floats) -> Floats:
    """The logit of p, nearer to 0 where p is nearly 0 or 1; it grows with p all the same."""
    values: Floats = np.log((p + LEAST) / (1 - p + LEAST))
    return values


def _sigmoid(x: Floats) -> Floats:
    values: Floats = 1 / (1 + np.exp(-x))
    return values
