"""Which labels are wrong, where the model is a network.

A fit of a network costs much more than that of a linear model, and a network that is trained long learns wrong labels
by heart. So a linear model and a forest say what the noise is (``analysis``), a network is trained for a short while
with that noise corrected, and it is heard as one more opinion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hposvc.labels.analysis import LabelAnalysis, explain, judged, trusted_alone
from hposvc.labels.classifiers import TINY, Classifier, Floats, Integers, RowLosses, SoftmaxRegression, soft
from hposvc.labels.cross_fit import Labels, Opinion, cross_fit, forward
from hposvc.labels.forest import Forest
from hposvc.labels.second_opinion import hear

PENALTY, STEPS, FINAL_STEPS = 1.0, 25, 210
"""Of a network: see :meth:`hposvc.labels.classifiers.Classifier.fit`. Short training already holds it back."""

MOST_WORK = 1e7
"""Rows · features · classes. Networks are trained on no more rows than that, and asked about all."""


def analyse_network(labels: Labels, network: Classifier) -> LabelAnalysis:
    """As :func:`hposvc.labels.analysis.analyse`, with the opinions of networks. Costs some thirty fits of a network."""
    first = hear(labels, explain(labels, SoftmaxRegression()), Forest()).explanation
    heard = hear(labels, first, Networks(network, _trained_on(labels)))
    trusted = np.arange(len(labels.trusted)), labels.trusted
    held_out = {
        "posterior": -np.log(heard.last.q_trusted[trusted] + TINY),
        "both": -np.log(heard.both.q_trusted[trusted] + TINY),
    }
    if len(labels.trusted):
        _, q = trusted_alone(labels, network, (PENALTY,), steps=STEPS)
        held_out["trusted_only"] = -np.log(q[trusted] + TINY)
    penalties = dict.fromkeys(("posterior", "both", "all_rows", "trusted_only"), PENALTY)
    return judged(labels, replace(heard.explanation, held_out=held_out, penalties=penalties))


@dataclass(frozen=True)
class Networks:
    """See :class:`hposvc.labels.second_opinion.Learner`. ``rows`` are those of the unchecked rows that are learned."""

    network: Classifier
    rows: Integers

    def through(self, labels: Labels, first: Opinion, noise: Floats) -> Opinion:
        """Networks in folds, by forward correction."""
        return self._asked(labels, forward(labels, noise))

    def learned(self, labels: Labels, posterior: Floats) -> Opinion:
        """Networks in folds, by cross-entropy."""
        return self._asked(labels, soft(posterior))

    def _asked(self, labels: Labels, unchecked: RowLosses) -> Opinion:
        """Of the rows that are learned by the one that has not seen them, of others by all."""
        rows = self.rows
        learned = RowLosses(unchecked.values[rows], unchecked.noisy[rows])
        opinion = cross_fit(labels.some(rows), self.network, PENALTY, learned, steps=STEPS)
        if len(rows) == len(labels.given):
            return opinion
        q = np.mean([self.network.predict(model, labels.features) for model in opinion.models], axis=0)
        q[rows] = opinion.q
        return replace(opinion, q=q)


def _trained_on(labels: Labels) -> Integers:
    size = max(1000, int(MOST_WORK // max(1, labels.features.shape[1] * labels.classes)))
    return np.sort(np.random.default_rng(labels.seed).permutation(len(labels.given))[:size])
