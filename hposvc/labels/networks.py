"""Which labels are wrong, where the model is a network.

A fit of a network costs much more than that of a linear model, and a network that is trained long learns wrong labels
by heart. So the linear model says what the noise is (``analysis``), a network is trained for a short while with that
noise corrected, and both are asked: their opinions are pooled by the likelihood of held-out labels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hposvc.labels import noise_matrix
from hposvc.labels.analysis import LEAST_SIGNAL, LabelAnalysis, analyse, first_noise, trusted_alone
from hposvc.labels.classifiers import TINY, Classifier, Floats, Integers, RowLosses, SoftmaxRegression, soft
from hposvc.labels.cross_fit import Calibrated, Labels, Opinion, calibrate, cross_fit, forward, log_likelihood
from hposvc.labels.judgement import WIDENING, WrongRows, judge, posterior_of_all, wrong_of_all

PENALTY, STEPS, FINAL_STEPS = 1.0, 25, 210
"""Of a network: see :meth:`hposvc.labels.classifiers.Classifier.fit`. Short training already holds it back."""

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of the network in the geometric mean with the linear model."""

MOST_WORK = 1e7
"""Rows · features · classes. Networks are trained on no more rows than that, and asked about all."""


class _Explained(NamedTuple):
    """The posterior of all rows, trusted ones as if unchecked, (n + m, k); T; and how likely they make all labels, less
    T's optimism, in nats.
    """

    posterior: Floats
    noise: Floats
    value: float


def analyse_network(labels: Labels, network: Classifier) -> LabelAnalysis:
    """As :func:`hposvc.labels.analysis.analyse`, with the opinions of networks. Costs some thirty fits of a network."""
    found = analyse(labels, SoftmaxRegression())
    rows = _trained_on(labels)
    plain = 0.999 * np.eye(labels.classes) + 0.001 / labels.classes
    both = _asked(labels, network, rows, forward(labels, plain))
    starts = (found.noise, first_noise(labels, both))
    explained = [
        _explain(labels, _asked(labels, network, rows, forward(labels, noise)), found, noise) for noise in starts
    ]
    best = max(explained, key=lambda each: each.value)
    opinion = _asked(labels, network, rows, soft(best.posterior[: len(labels.given)]))
    best = _explain(labels, opinion, found, best.noise)
    likely = found.noise_likely or best.value - _pool(labels, both, found, plain)[0] > LEAST_SIGNAL
    n = len(labels.given)
    wrong_rows = _counted(wrong_of_all(labels, best.posterior)[:n], found.wrong_rows)
    judged = judge(labels, best.posterior, wrong_rows, noise_likely=likely)
    trusted = np.arange(len(labels.trusted)), labels.trusted
    held_out = {
        "posterior": -np.log(opinion.q_trusted[trusted] + TINY),
        "both": -np.log(both.q_trusted[trusted] + TINY),
    }
    if len(labels.trusted):
        _, q = trusted_alone(labels, network, (PENALTY,), steps=STEPS)
        held_out["trusted_only"] = -np.log(q[trusted] + TINY)
    return LabelAnalysis(
        **vars(judged),
        opinion=opinion.q,
        trusted_opinion=opinion.q_trusted,
        noise=best.noise,
        held_out=held_out,
        penalties=dict.fromkeys(("posterior", "both", "all_rows", "trusted_only"), PENALTY),
    )


def _trained_on(labels: Labels) -> Integers:
    size = max(1000, int(MOST_WORK // max(1, labels.features.shape[1] * labels.classes)))
    return np.sort(np.random.default_rng(labels.seed).permutation(len(labels.given))[:size])


def _asked(labels: Labels, network: Classifier, rows: Integers, unchecked: RowLosses) -> Opinion:
    """The opinions of networks trained on ``rows``: of these by the one that has not seen them, of others by all."""
    opinion = cross_fit(
        labels.some(rows), network, PENALTY, RowLosses(unchecked.values[rows], unchecked.noisy[rows]), steps=STEPS
    )
    if len(rows) == len(labels.given):
        return opinion
    q = np.mean([network.predict(model, labels.features) for model in opinion.models], axis=0)
    q[rows] = opinion.q
    return replace(opinion, q=q)


def _explain(labels: Labels, opinion: Opinion, found: LabelAnalysis, noise: Floats) -> _Explained:
    """The posterior by the pooled opinions, with ``noise``, or with T fitted anew where that is no chance."""
    value, pooled = _pool(labels, opinion, found, noise)
    q = pooled.q
    _, fitted, optimism = noise_matrix.shrink(q, labels.given, noise, labels.folds, dominant=not len(labels.trusted))
    gain = noise_matrix.log_likelihood(q, fitted, labels.given) - noise_matrix.log_likelihood(q, noise, labels.given)
    better = float(gain.sum()) - optimism
    if better > 0:
        noise, value = fitted, value + better
    return _Explained(posterior_of_all(labels, q, pooled.q_trusted, noise), noise, value)


def _pool(labels: Labels, opinion: Opinion, found: LabelAnalysis, noise: Floats) -> tuple[float, Calibrated]:
    """The opinions of network and linear model in the share that makes all labels likeliest, and that value."""
    pools = []
    for share in SHARES:
        mean = replace(
            opinion,
            q=_geometric(opinion.q, found.opinion, share),
            q_trusted=_geometric(opinion.q_trusted, found.trusted_opinion, share),
        )
        pooled = calibrate(labels, mean, noise)
        pools.append((log_likelihood(labels, pooled.q, pooled.q_trusted, noise) - pooled.penalty, pooled))
    return max(pools, key=lambda pool: pool[0])


def _geometric(first: Floats, second: Floats, share: float) -> Floats:
    q: Floats = (first + TINY) ** share * (second + TINY) ** (1 - share)
    q /= q.sum(1, keepdims=True)
    return q


def _counted(wrong: Floats, linear: WrongRows) -> WrongRows:
    """The number of wrong rows, as uncertain as the linear analysis was, or as the rows and their share make it."""
    expected, rows = float(wrong.sum()), len(wrong)
    variance = float((wrong * (1 - wrong)).sum()) + expected * (1 - expected / rows)  # the second: T is from them, too
    half = max((linear.high - linear.low) / 2, 1.645 * WIDENING * float(np.sqrt(variance)))
    return WrongRows(expected, max(0.0, expected - half), min(float(rows), expected + half))
