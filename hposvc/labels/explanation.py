"""How models explain the labels: their opinion of each row, the noise matrix, and the posterior that follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hposvc.labels import noise_matrix
from hposvc.labels.classifiers import Floats, one_hot
from hposvc.labels.cross_fit import Labels, Opinion

LEAST_SIGNAL = 4.0
"""Nats by which the features have to make the held-out labels likelier, or they say nothing about any label."""


WIDENING = 1.5
"""By how much the interval of the number of wrong rows is wider than an analysis without trusted rows says: its noise
matrix is a guess.
"""


@dataclass(frozen=True)
class WrongRows:
    """How many of the unchecked rows are wrong: expected, and the ends of a 90 % interval."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class Explanation:
    """What n unchecked and m trusted rows in k classes look like, before trusted rows judge it.

    ``opinion`` holds the probability of each class by the features alone, ``noise`` (k, k) is T, and ``posterior``
    (n + m, k) the probability of each class given features and label, of trusted rows as if nobody had checked them.
    ``wrong_rows`` is what is claimed where there are no trusted rows. ``features_tell`` is whether the features make
    held-out labels likelier by more than chance. ``held_out`` has the loss of each trusted row under models that have
    not seen it, (m,), by candidate, and ``penalties`` those of the candidates.
    """

    opinion: Opinion
    posterior: Floats
    noise: Floats
    wrong_rows: WrongRows
    features_tell: bool
    held_out: dict[str, Floats]
    penalties: dict[str, float]


def nearly_right(classes: int) -> Floats:
    """T where next to no label is wrong, (k, k)."""
    return noise_matrix.uniform(classes, 0.001 * (classes - 1) / classes)


def first_noise(labels: Labels, base: Opinion) -> Floats:
    """Where T may start, by the opinion ``base`` of a model that took all labels as right.

    With trusted rows that are like the others, by the labels that it gives to those of each class (Hendrycks et al.,
    2018, "Using Trusted Data to Train Deep Networks on Labels Corrupted by Severe Noise"). Without, by confident
    learning.
    """
    if not labels.has_judges:
        return noise_matrix.confident_joint(base.q, labels.given)
    counts = 2 * np.eye(labels.classes) + one_hot(labels.trusted, labels.classes).T @ base.q_trusted
    noise: Floats = counts / counts.sum(1, keepdims=True)
    return noise


def posterior_of_all(labels: Labels, q: Floats, q_trusted: Floats, noise: Floats) -> Floats:
    """The posterior of the unchecked rows, and of the trusted rows as if nobody had checked them, (n + m, k)."""
    given = np.concatenate([labels.given, labels.trusted])
    return noise_matrix.posterior(np.vstack([q, q_trusted]), noise, given)


def wrong_of_all(labels: Labels, posterior: Floats) -> Floats:
    """The probability that a label is wrong, (n + m,), of the ``posterior`` (n + m, k) of all rows."""
    wrong: Floats = 1 - posterior[np.arange(len(posterior)), np.concatenate([labels.given, labels.trusted])]
    return wrong


def of_checked(labels: Labels, noise: Floats) -> float:
    """How likely ``noise`` makes what was found in picked rows, in nats; 0 where nothing is known of it."""
    return 0.0 if labels.checked is None else labels.checked.log_likelihood(noise)


def without_features(labels: Labels) -> float:
    """How likely the frequencies of the classes make all labels, in nats."""
    counts = np.bincount(np.concatenate([labels.given, labels.trusted]), minlength=labels.classes) + 1.0
    frequencies = np.log(counts / counts.sum())
    return float(frequencies[labels.given].sum() + frequencies[labels.trusted].sum())
