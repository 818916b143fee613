"""Classifiers that can be trained on soft labels, or on labels that a noise matrix has changed.

With q_c(x) the probability of class c, a row has one of two losses:

    soft label t:            −Σ_c t_c log q_c(x)
    likelihood ℓ of a label: −log Σ_c q_c(x) ℓ_c,  ℓ_c = P(given label | true class c)

The second is forward correction (Patrini et al., 2017, "Making Deep Neural Networks Robust to Label Noise", section
3.2). Its gradient is that of the first with the posterior q_c ℓ_c / Σ q ℓ as the soft label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hposvc.labels.lbfgs import minimize_each

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Parameters = list[Floats]
"""Weight matrices and biases by turns, as in ``hposvc.bilevel.models``."""

TINY = 1e-12
SMALLEST = 1e-30


class Classifier(Protocol):
    """What is needed of a model with a penalty on its weights."""

    def fit(
        self,
        features: Floats,
        rows: RowLosses,
        penalty: float,
        *,
        start: Parameters | None = None,
        steps: int = 30,
    ) -> Parameters:
        """Minimize the sum of all rows' losses plus ``penalty`` / 2 · ‖W‖², from ``start``, in ``steps`` steps."""

    def fit_folds(
        self,
        features: Floats,
        rows: RowLosses,
        kept: NDArray[np.bool_],
        penalty: float,
        *,
        starts: Sequence[Parameters] | None = None,
        steps: int = 30,
    ) -> list[Parameters]:
        """A model for each fold, as :meth:`fit` makes it of the rows that ``kept`` (folds, n) says: one by one, unless
        a classifier knows better.
        """
        firsts = [None] * len(kept) if starts is None else starts
        return [
            self.fit(features[seen], rows.of(seen), penalty, start=start, steps=steps)
            for seen, start in zip(kept, firsts, strict=True)
        ]

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """Probabilities (n, k)."""


class RowLosses:
    """The losses of n rows: ``values`` (n, k) are soft labels, or likelihoods of the label where ``noisy`` (n,) says
    so.
    """

    def __init__(self, values: Floats, noisy: NDArray[np.bool_]) -> None:
        self.values = values
        self.noisy = noisy

    def of(self, rows: NDArray[np.bool_]) -> RowLosses:
        """Only these rows."""
        return RowLosses(self.values[rows], self.noisy[rows])

    def __call__(self, q: Floats) -> tuple[float, Floats]:
        """The summed loss at probabilities ``q`` (n, k), and the soft labels t whose q − t is its gradient by the
        logits.
        """
        joint = q * self.values
        total = joint.sum(1)
        targets = np.where(self.noisy[:, None], joint / np.maximum(total, TINY)[:, None], self.values)
        soft = -(self.values * np.log(q + TINY)).sum(1)
        return float(np.where(self.noisy, -np.log(total + TINY), soft).sum()), targets


def soft(labels: Floats) -> RowLosses:
    """Rows with soft labels (n, k)."""
    return RowLosses(labels, np.zeros(len(labels), dtype=bool))


def join(first: RowLosses, second: RowLosses) -> RowLosses:
    """The rows of both, in order."""
    return RowLosses(np.vstack([first.values, second.values]), np.concatenate([first.noisy, second.noisy]))


def softmax(logits: Floats) -> Floats:
    """Probabilities (n, k) of ``logits`` (n, k)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Floats = powers / powers.sum(1, keepdims=True)
    return probabilities


def one_hot(labels: Integers, classes: int) -> Floats:
    """Labels (n,) as soft labels (n, k)."""
    rows: Floats = np.eye(classes)[labels]
    return rows


class SoftmaxRegression(Classifier):
    """Multinomial logistic regression by L-BFGS (Nocedal, 1980), with rows in float32. The biases are not penalized."""

    def fit(
        self,
        features: Floats,
        rows: RowLosses,
        penalty: float,
        *,
        start: Parameters | None = None,
        steps: int = 30,
    ) -> Parameters:
        """See :class:`Classifier`."""
        everything = np.ones((1, len(features)), dtype=bool)
        starts = None if start is None else [start]
        return self.fit_folds(features, rows, everything, penalty, starts=starts, steps=steps)[0]

    def fit_folds(
        self,
        features: Floats,
        rows: RowLosses,
        kept: NDArray[np.bool_],
        penalty: float | Floats,
        *,
        starts: Sequence[Parameters] | None = None,
        steps: int = 30,
    ) -> list[Parameters]:
        """See :class:`Classifier`; ``penalty`` may be one for each fold, (folds,).

        One product with all rows serves all folds.
        """
        (n, d), k, folds = features.shape, rows.values.shape[1], len(kept)
        counts = kept.sum(1)
        x, values = features.astype(np.float32), np.ascontiguousarray(rows.values.T, dtype=np.float32)
        shares = (kept / counts[:, None]).astype(np.float32)
        decay = (penalty / counts)[:, None, None]
        any_noisy = bool(rows.noisy.any())

        def objective(flat: Floats) -> tuple[Floats, Floats]:
            v = flat.reshape(folds, k, d + 1)
            w = v[:, :, :d]
            logits = (w.reshape(folds * k, d).astype(np.float32) @ x.T).reshape(folds, k, n)
            logits += v[:, :, d:].astype(np.float32)
            logits -= logits.max(1, keepdims=True)
            powers = np.exp(logits)
            total = powers.sum(1)
            if any_noisy:
                joint = powers * values
                likely = np.maximum(joint.sum(1), SMALLEST)
                of_label = np.where(rows.noisy, np.log(likely), (values * logits).sum(1))
                targets = np.where(rows.noisy, joint / likely[:, None], values)
            else:
                of_label, targets = (values * logits).sum(1), values
            residual = powers / total[:, None]
            residual -= targets
            residual *= shares[:, None]
            gradient = np.empty_like(v)
            gradient[:, :, :d] = (residual.reshape(folds * k, n) @ x).reshape(folds, k, d) + decay * w
            gradient[:, :, d] = residual.sum(2)
            losses = (shares * (np.log(total) - of_label)).sum(1, dtype=np.float64) + 0.5 * (decay * w * w).sum((1, 2))
            return losses, gradient.reshape(folds, -1)

        start = np.zeros((folds, k * (d + 1)))
        if starts is not None:
            start = np.array([np.vstack([weights, bias]).T.ravel() for weights, bias in starts])
        found = minimize_each(objective, start, steps=steps, gtol=1e-4, ftol=1e-8).reshape(folds, k, d + 1)
        return [[v[:, :d].T, v[:, d]] for v in found]

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """See :class:`Classifier`."""
        weights, bias = parameters
        return softmax(features @ weights + bias)
