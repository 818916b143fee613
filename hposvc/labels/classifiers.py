"""Classifiers that can be trained on soft labels, or on labels that a noise matrix has changed.

With q_c(x) the probability of class c, a row has one of two losses:

    soft label t:            −Σ_c t_c log q_c(x)
    likelihood ℓ of a label: −log Σ_c q_c(x) ℓ_c,  ℓ_c = P(given label | true class c)

The second is forward correction (Patrini et al., 2017, "Making Deep Neural Networks Robust to Label Noise", section
3.2). Its gradient is that of the first with the posterior q_c ℓ_c / Σ q ℓ as the soft label.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Parameters = list[Floats]
"""Weight matrices and biases by turns, as in ``hposvc.bilevel.models``."""

TINY = 1e-12


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

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """Probabilities (n, k)."""


class RowLosses:
    """The losses of n rows: ``values`` (n, k) are soft labels, or likelihoods of the label where ``noisy`` (n,) says
    so.
    """

    def __init__(self, values: Floats, noisy: NDArray[np.bool_]) -> None:
        self.values = values
        self.noisy = noisy

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


class SoftmaxRegression:
    """Multinomial logistic regression by L-BFGS (Nocedal, 1980), in float64. The biases are not penalized."""

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
        n, d = features.shape
        k = rows.values.shape[1]

        def objective(flat: Floats) -> tuple[float, Floats]:
            v = flat.reshape(d + 1, k)
            q = softmax(features @ v[:d] + v[d])
            loss, targets = rows(q)
            residual = (q - targets) / n
            gradient = np.vstack([features.T @ residual + (penalty / n) * v[:d], residual.sum(0)])
            return loss / n + 0.5 * (penalty / n) * float((v[:d] ** 2).sum()), gradient.ravel()

        flat = np.zeros((d + 1) * k) if start is None else np.vstack([start[0], start[1]]).ravel()
        options = {"maxiter": steps, "gtol": 1e-4, "ftol": 1e-8}
        found = minimize(objective, flat, jac=True, method="L-BFGS-B", options=options).x.reshape(d + 1, k)
        return [found[:d], found[d]]

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """See :class:`Classifier`."""
        weights, bias = parameters
        return softmax(features @ weights + bias)
