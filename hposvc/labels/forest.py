"""The opinion of a random forest: what depends on combinations of features, which a linear model cannot see.

Each tree has not seen the rows outside of its sample, and speaks of them alone (Breiman, 2001, "Random Forests",
section 3.1), so one forest gives its opinion of every row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.tree import DecisionTreeRegressor

from hposvc.labels import noise_matrix
from hposvc.labels.classifiers import Floats, one_hot
from hposvc.labels.cross_fit import Labels, Opinion

Floats32 = NDArray[np.float32]

TREES = 100
LEAF = 3  # rows in a leaf, at least
SAMPLE = 5000  # rows of a tree, at most
SHARE = 1 - np.exp(-1)  # of all rows that a tree sees: as many different ones as a bootstrap sample has


class Forest:
    """See :class:`hposvc.labels.second_opinion.Learner`."""

    def through(self, labels: Labels, first: Opinion, noise: Floats) -> Opinion:
        """A forest has no loss to correct: it learns the posterior by the ``first`` opinion."""
        return self.learned(labels, noise_matrix.posterior(first.q, noise, labels.given))

    def learned(self, labels: Labels, posterior: Floats) -> Opinion:
        """Squared error of all classes' probabilities at once, as soft labels need it."""
        features = np.vstack([labels.features, labels.trusted_features]).astype(np.float32)
        targets = np.vstack([posterior, one_hot(labels.trusted, labels.classes)])
        votes = _out_of_sample(features, targets, labels.seed) + 0.5 / TREES / labels.classes
        q: Floats = votes / votes.sum(1, keepdims=True)
        n = len(labels.given)
        return Opinion(q[:n], q[n:], [])


def _out_of_sample(features: Floats32, targets: Floats, seed: int) -> Floats:
    """The mean over the trees that have not seen the row, (n, k).

    Trees one by one, as what ``RandomForestRegressor`` checks of each takes longer than the tree does; from rows
    drawn without replacement, so that none needs a weight.
    """
    n, rng = len(features), np.random.default_rng(seed)
    size = min(SAMPLE, int(SHARE * n) + 1)
    total, voters = np.zeros(targets.shape), np.zeros((n, 1))
    with config_context(skip_parameter_validation=True, assume_finite=True):
        for tree_seed in range(TREES):
            order = rng.permutation(n)
            seen, unseen = order[:size], order[size:]
            tree = DecisionTreeRegressor(max_features="sqrt", min_samples_leaf=LEAF, random_state=tree_seed)
            tree.fit(features[seen], targets[seen], check_input=False)
            total[unseen] += tree.predict(features[unseen], check_input=False).reshape(len(unseen), -1)
            voters[unseen] += 1
    mean: Floats = total / np.maximum(voters, 1)
    return mean
