"""The opinion of a random forest: what depends on combinations of features, which a linear model cannot see.

Each tree has not seen the rows outside of its sample, and speaks of them alone (Breiman, 2001, "Random Forests",
section 3.1), so one forest gives its opinion of every row.
"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from hposvc.labels import noise_matrix
from hposvc.labels.classifiers import Floats, one_hot
from hposvc.labels.cross_fit import Labels, Opinion

TREES = 100
LEAF = 3  # rows in a leaf, at least
SAMPLE = 5000  # rows of a tree, at most


class Forest:
    """See :class:`hposvc.labels.second_opinion.Learner`."""

    def through(self, labels: Labels, first: Opinion, noise: Floats) -> Opinion:
        """A forest has no loss to correct: it learns the posterior by the ``first`` opinion."""
        return self.learned(labels, noise_matrix.posterior(first.q, noise, labels.given))

    def learned(self, labels: Labels, posterior: Floats) -> Opinion:
        """Squared error of all classes' probabilities at once, as soft labels need it."""
        features = np.vstack([labels.features, labels.trusted_features]).astype(np.float32)
        targets = np.vstack([posterior, one_hot(labels.trusted, labels.classes)])
        trees = RandomForestRegressor(
            TREES,
            max_features="sqrt",
            min_samples_leaf=LEAF,
            max_samples=min(SAMPLE, len(features)),
            oob_score=True,
            random_state=labels.seed,
        ).fit(features, targets)
        votes = np.clip(trees.oob_prediction_.reshape(targets.shape), 0, 1) + 0.5 / TREES / labels.classes
        q: Floats = votes / votes.sum(1, keepdims=True)
        n = len(labels.given)
        return Opinion(q[:n], q[n:], [])
