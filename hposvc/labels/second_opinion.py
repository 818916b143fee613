"""A second opinion of the rows, by another kind of model, pooled with the first.

No model sees everything: a linear model sees directions, a forest combinations of features, a network whatever it has
learned. Their opinions are pooled in the share that makes all labels likeliest, by models that have not seen the row
(logarithmic pooling: Genest and Zidek, 1986, "Combining Probability Distributions", section 3).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from hposvc.labels import noise_matrix
from hposvc.labels.classifiers import TINY, Floats
from hposvc.labels.cross_fit import Calibrated, Labels, Opinion, calibrate, log_likelihood
from hposvc.labels.explanation import (
    WIDENING,
    Explanation,
    WrongRows,
    first_noise,
    nearly_right,
    of_checked,
    posterior_of_all,
    without_features,
    wrong_of_all,
)

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of the second opinion in the geometric mean with the first."""

LEAST_SIGNAL_OF_TWO = 6.0
"""As ``LEAST_SIGNAL``, where more is tried: on 40 tables of chance, 4.2 nats was the most."""


class Learner(Protocol):
    """Models that have not seen the row that they speak of."""

    def through(self, labels: Labels, first: Opinion, noise: Floats) -> Opinion:
        """The opinion of models that learned the labels as ``noise`` (k, k) corrects them."""

    def learned(self, labels: Labels, posterior: Floats) -> Opinion:
        """The opinion of models that learned the ``posterior`` (n, k) as soft labels."""


class Heard(NamedTuple):
    """The pooled explanation; the learner's own opinion where it took all labels as right, and its last one."""

    explanation: Explanation
    both: Opinion
    last: Opinion


class _Explained(NamedTuple):
    """The pooled opinion and the posterior (n + m, k); T; how likely all labels are, less T's optimism, in nats."""

    opinion: Opinion
    posterior: Floats
    noise: Floats
    value: float


def hear(labels: Labels, first: Explanation, learner: Learner) -> Heard:
    """Ask ``learner`` about all rows, and pool what it says with ``first``. Costs four opinions of it.

    Where features say nothing by both, ``first`` stays.
    """
    plain, n = nearly_right(labels.classes), len(labels.given)
    both = learner.through(labels, first.opinion, plain)
    starts = (first.noise, first_noise(labels, both))
    explained = [
        _explain(labels, learner.through(labels, first.opinion, noise), first.opinion, noise) for noise in starts
    ]
    best = max(explained, key=lambda each: each.value + of_checked(labels, each.noise))
    last = learner.learned(labels, best.posterior[:n])
    if best.value - without_features(labels) < LEAST_SIGNAL_OF_TWO:
        return Heard(first, both, last)
    best = _explain(labels, last, first.opinion, best.noise)
    explanation = replace(
        first,
        opinion=best.opinion,
        posterior=best.posterior,
        noise=best.noise,
        wrong_rows=_counted(wrong_of_all(labels, best.posterior)[:n], first.wrong_rows),
        features_tell=True,
    )
    return Heard(explanation, both, last)


def _explain(labels: Labels, second: Opinion, first: Opinion, noise: Floats) -> _Explained:
    """The posterior by the pooled opinions, with ``noise``, or with T fitted anew where that is no chance."""
    value, pooled = _pool(labels, second, first, noise)
    q = pooled.q
    _, fitted, optimism = noise_matrix.shrink(
        q, labels.given, noise, labels.folds, dominant=not labels.has_judges, checked=labels.checked
    )
    gain = noise_matrix.log_likelihood(q, fitted, labels.given) - noise_matrix.log_likelihood(q, noise, labels.given)
    better = float(gain.sum()) - optimism
    if better + of_checked(labels, fitted) - of_checked(labels, noise) > 0:
        noise, value = fitted, value + better
    opinion = Opinion(q, pooled.q_trusted, second.models)
    return _Explained(opinion, posterior_of_all(labels, q, pooled.q_trusted, noise), noise, value)


def _pool(labels: Labels, second: Opinion, first: Opinion, noise: Floats) -> tuple[float, Calibrated]:
    """Both opinions in the share that makes all labels likeliest, calibrated, and that value in nats."""
    pools = []
    for share in SHARES:
        mean = Opinion(
            _geometric(second.q, first.q, share), _geometric(second.q_trusted, first.q_trusted, share), second.models
        )
        pooled = calibrate(labels, mean, noise)
        pools.append((log_likelihood(labels, pooled.q, pooled.q_trusted, noise) - pooled.penalty, pooled))
    return max(pools, key=lambda pool: pool[0])


def _geometric(first: Floats, second: Floats, share: float) -> Floats:
    q: Floats = (first + TINY) ** share * (second + TINY) ** (1 - share)
    q /= q.sum(1, keepdims=True)
    return q


def _counted(wrong: Floats, first: WrongRows) -> WrongRows:
    """The number of wrong rows, as uncertain as the first analysis was, or as the rows and their share make it."""
    expected, rows = float(wrong.sum()), len(wrong)
    variance = float((wrong * (1 - wrong)).sum()) + expected * (1 - expected / rows)  # the second: T is from them, too
    half = max((first.high - first.low) / 2, 1.645 * WIDENING * float(np.sqrt(variance)))
    return WrongRows(expected, max(0.0, expected - half), min(float(rows), expected + half))
