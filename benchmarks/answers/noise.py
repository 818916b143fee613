"""Wrong labels, planted where a person does not see which."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KINDS = ("uniform", "pair", "boundary", "annotator")


def plant(labels: Integers, features: Floats, kind: str, rate: float, seed: int) -> Integers:
    """``labels`` (n,) with ``rate`` of them wrong.

    ``uniform``: any other class. ``pair``: each class into one other. ``boundary``: the rows that a model of the right
    labels is least sure of, into its second choice. ``annotator``: one batch of rows, alike in a feature, half of whose
    labels are any other class.
    """
    rng = np.random.default_rng(seed)
    n, k = len(labels), int(labels.max()) + 1
    count = round(rate * n)
    noisy = labels.copy()
    if kind == "uniform":
        rows = rng.choice(n, count, replace=False)
        noisy[rows] = (labels[rows] + rng.integers(1, k, count)) % k
    elif kind == "pair":
        rows = rng.choice(n, count, replace=False)
        noisy[rows] = (labels[rows] + rng.integers(1, k)) % k
    elif kind == "boundary":
        from sklearn.linear_model import LogisticRegression

        q = LogisticRegression(max_iter=300).fit(features, labels).predict_proba(features)
        q[np.arange(n), labels] = 0
        likely = q.max(1) + 0.02
        rows = rng.choice(n, count, replace=False, p=likely / likely.sum())
        noisy[rows] = q.argmax(1)[rows]
    elif kind == "annotator":
        column = features[:, rng.integers(features.shape[1])] + 1e-6 * rng.normal(size=n)
        batch = np.argsort(-column)[: min(n, 2 * count)]
        rows = rng.choice(batch, min(count, len(batch)), replace=False)
        noisy[rows] = (labels[rows] + rng.integers(1, k, len(rows))) % k
    else:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    return noisy
