"""Which labels are wrong, where the model is a network.

A fit of a network costs a thousand times that of a linear model, and a network that is trained long learns wrong labels
by heart. So the linear model says what the noise is (``analysis``), a network is trained for a short while with that
noise corrected, and both are asked: their opinions are pooled by the likelihood of held-out labels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hposvc.labels import noise_matrix
from hposvc.labels.analysis import LabelAnalysis, WrongRows, analyse, threshold, trusted_alone
from hposvc.labels.classifiers import TINY, Classifier, Floats, Integers, RowLosses, SoftmaxRegression, soft
from hposvc.labels.cross_fit import Labels, Opinion, calibrate, cross_fit, forward, log_likelihood

PENALTY, STEPS, FINAL_STEPS = 1.0, 25, 210
"""Of a network: see :meth:`hposvc.labels.classifiers.Classifier.fit`. Short training already holds it back."""

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of the network in the geometric mean with the linear model."""

MOST_WORK = 1e7
"""Rows · features · classes. Networks are trained on no more rows than that, and asked about all."""


def analyse_network(labels: Labels, network: Classifier) -> LabelAnalysis:
    """As :func:`hposvc.labels.analysis.analyse`, with the opinions of networks. Costs some twenty fits of a network."""
    found = analyse(labels, SoftmaxRegression())
    rows = _trained_on(labels)
    plain = 0.999 * np.eye(labels.classes) + 0.001 / labels.classes
    both = cross_fit(labels.some(rows), network, PENALTY, forward(labels.some(rows), plain), steps=STEPS)
    opinion = _asked(labels, network, rows, forward(labels, found.noise))
    posterior, noise = _posterior(labels, opinion, found)
    opinion = _asked(labels, network, rows, soft(posterior))
    posterior, noise = _posterior(labels, opinion, replace(found, noise=noise))
    wrong = 1 - posterior[np.arange(len(labels.given)), labels.given]
    trusted = np.arange(len(labels.trusted)), labels.trusted
    held_out = {
        "posterior": -np.log(opinion.q_trusted[trusted] + TINY),
        "both": -np.log(both.q_trusted[trusted] + TINY),
    }
    if len(labels.trusted):
        _, q = trusted_alone(labels, network, (PENALTY,), steps=STEPS)
        held_out["trusted_only"] = -np.log(q[trusted] + TINY)
    return LabelAnalysis(
        posterior=posterior,
        probability_wrong=wrong,
        threshold=threshold(wrong, surely=found.surely),
        surely=found.surely,
        opinion=opinion.q,
        trusted_opinion=opinion.q_trusted,
        noise=noise,
        wrong_rows=_moved(found.wrong_rows, float(wrong.sum()), len(wrong)),
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


def _posterior(labels: Labels, opinion: Opinion, found: LabelAnalysis) -> tuple[Floats, Floats]:
    """The posterior of each row, (n, k), and T, by the pooled opinions that make all labels likeliest."""
    best: tuple[float, Floats, Floats] | None = None
    for share in SHARES:
        mean = replace(
            opinion,
            q=_geometric(opinion.q, found.opinion, share),
            q_trusted=_geometric(opinion.q_trusted, found.trusted_opinion, share),
        )
        pooled = calibrate(labels, mean, found.noise)
        value = log_likelihood(labels, pooled.q, pooled.q_trusted, found.noise) - pooled.penalty
        if best is None or value > best[0]:
            best = value, pooled.q, found.noise
    assert best is not None  # noqa: S101 - there is at least one share
    value, q, noise = best
    _, refitted, optimism = noise_matrix.shrink(q, labels.given, noise, labels.folds, dominant=not len(labels.trusted))
    gain = noise_matrix.log_likelihood(q, refitted, labels.given) - noise_matrix.log_likelihood(q, noise, labels.given)
    if float(gain.sum()) > optimism:
        noise = refitted
    return noise_matrix.posterior(q, noise, labels.given), noise


def _geometric(first: Floats, second: Floats, share: float) -> Floats:
    q: Floats = (first + TINY) ** share * (second + TINY) ** (1 - share)
    q /= q.sum(1, keepdims=True)
    return q


def _moved(linear: WrongRows, expected: float, rows: int) -> WrongRows:
    """The interval of the linear analysis, moved to ``expected`` wrong rows and holding where it was."""
    shift = expected - linear.expected
    return WrongRows(expected, max(0.0, linear.low + min(shift, 0.0)), min(float(rows), linear.high + max(shift, 0.0)))
