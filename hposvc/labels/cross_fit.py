"""Opinions of models that have not seen the row that they speak of, and how they are calibrated.

The log-likelihood of everything that is known is

    L(q, T) = Σ_unchecked log Σ_c q_c(x_i) T[c, y_i] + Σ_trusted log q_{y_j}(x_j)

with q of models that were trained without row i or j. It chooses whatever is to be chosen: penalties, starts, T.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hposvc.labels import noise_matrix
from hposvc.labels.classifiers import (
    TINY,
    Classifier,
    Floats,
    Integers,
    Parameters,
    RowLosses,
    join,
    one_hot,
    soft,
    softmax,
)
from hposvc.labels.noise_matrix import Checked

FOLDS = 5

CALIBRATION_SPREAD = 0.7
"""Standard deviation of the prior of log temperature and of the shift of each class."""


@dataclass(frozen=True)
class Labels:
    """Rows whose labels were not checked, (n,), and trusted rows, (m,), of which there may be none.

    ``features`` (n, d) and ``trusted_features`` (m, d) are standardized. ``picked`` says that the trusted rows were
    picked for a check, as a review does with the most suspicious ones. They are right, and models learn from them, but
    they are not like the others: nothing about the others is judged by them. ``were_wrong`` (m,) says whose label was
    corrected. Without it, the others look cleaner than they are, since wrong rows were picked from among them.
    """

    features: Floats
    given: Integers
    trusted_features: Floats
    trusted: Integers
    classes: int
    seed: int = 0
    picked: bool = False
    were_wrong: NDArray[np.bool_] | None = None

    @cached_property
    def checked(self) -> Checked | None:
        """What was found in picked rows, where it is known."""
        if not self.picked or self.were_wrong is None:
            return None
        right, wrong = (
            np.bincount(self.trusted[rows], minlength=self.classes).astype(np.float64)
            for rows in (~self.were_wrong, self.were_wrong)
        )
        return Checked(right, wrong)

    @property
    def has_judges(self) -> bool:
        """Whether there are trusted rows that are like the others."""
        return len(self.trusted) > 0 and not self.picked

    @cached_property
    def folds(self) -> Integers:
        """The fold of each unchecked row, (n,)."""
        return stratified_folds(self.given, self.seed)

    @cached_property
    def trusted_folds(self) -> Integers:
        """The fold of each trusted row, (m,)."""
        return stratified_folds(self.trusted, self.seed + 1)

    def some(self, rows: Integers) -> Labels:
        """Only these of the unchecked rows, and all of the trusted ones."""
        return replace(self, features=self.features[rows], given=self.given[rows])


@dataclass(frozen=True)
class Opinion:
    """Probabilities (n, k) of unchecked and (m, k) of trusted rows, and the models of the folds that gave them."""

    q: Floats
    q_trusted: Floats
    models: list[Parameters]


@dataclass(frozen=True)
class Calibrated:
    """Probabilities after calibration, the T that goes with them, and minus the log-prior of the calibration."""

    q: Floats
    q_trusted: Floats
    noise: Floats
    penalty: float


def stratified_folds(labels: Integers, seed: int) -> Integers:
    """The fold of each row, (n,): the rows of each class are spread as evenly as can be."""
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(labels), dtype=np.int64)
    for c in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == c))
        folds[rows] = (np.arange(len(rows)) + rng.integers(FOLDS)) % FOLDS
    return folds


def forward(labels: Labels, noise: Floats) -> RowLosses:
    """The losses of the unchecked rows, corrected for ``noise`` (k, k)."""
    return RowLosses(noise[:, labels.given].T, np.ones(len(labels.given), dtype=bool))


def log_likelihood(labels: Labels, q: Floats, q_trusted: Floats, noise: Floats) -> float:
    """L(q, T), in nats."""
    known = np.log(q_trusted[np.arange(len(labels.trusted)), labels.trusted] + TINY).sum()
    return float(noise_matrix.log_likelihood(q, noise, labels.given).sum() + known)


def cross_fit(
    labels: Labels,
    classifier: Classifier,
    penalty: float,
    unchecked: RowLosses,
    *,
    starts: Sequence[Parameters] | None = None,
    steps: int = 30,
) -> Opinion:
    """Train on all folds of unchecked and of trusted rows but one, and ask about that one."""
    n, m = len(labels.given), len(labels.trusted)
    features = np.vstack([labels.features, labels.trusted_features])
    rows = join(unchecked, soft(one_hot(labels.trusted, labels.classes)))
    kept = np.concatenate([labels.folds, labels.trusted_folds]) != np.arange(FOLDS)[:, None]
    models = classifier.fit_folds(features, rows, kept, penalty, starts=starts, steps=steps)
    q = np.empty((n + m, labels.classes))
    for model, seen in zip(models, kept, strict=True):
        if not seen.all():
            q[~seen] = classifier.predict(model, features[~seen])
    return Opinion(q[:n], q[n:], models)


def best_penalty(
    labels: Labels,
    classifier: Classifier,
    penalties: Iterable[float],
    unchecked: RowLosses,
    noise: Floats,
    *,
    starts: Sequence[Parameters] | None = None,
    patience: float = np.inf,
) -> tuple[float, Opinion]:
    """The penalty of highest L, and its opinion.

    ``penalties`` go from strong to weak, each model starting from the one before it; they end where L has fallen by
    more than ``patience``.
    """
    best: tuple[float, float, Opinion] | None = None
    for penalty in penalties:
        opinion = cross_fit(labels, classifier, penalty, unchecked, starts=starts)
        starts = opinion.models
        value = log_likelihood(labels, opinion.q, opinion.q_trusted, noise)
        if best is None or value > best[0]:
            best = value, penalty, opinion
        elif value < best[0] - patience:
            break
    if best is None:
        raise ValueError("there is no penalty to choose from")
    return best[1], best[2]


def calibrate(
    labels: Labels,
    opinion: Opinion,
    noise: Floats,
    *,
    pseudo_rows: float = 1.0,
    rounds: int = 1,
    fit_noise: bool = False,
) -> Calibrated:
    """The most likely temperature and shift of each class, by turns with T where ``fit_noise``.

    q′ = softmax(e^{a₀} log q + a_c) with a ~ N(0, 0.7²) (temperature scaling: Guo et al., 2017, "On Calibration of
    Modern Neural Networks"), by L(q′, T): trusted rows that no model has seen say what ordinary difficulty looks like.
    """
    logs, logs_trusted = np.log(opinion.q + TINY), np.log(opinion.q_trusted + TINY)
    exact = soft(one_hot(labels.trusted, labels.classes))
    a = np.zeros(labels.classes + 1)

    def scaled(a: Floats, logarithms: Floats) -> Floats:
        return softmax(np.exp(a[0]) * logarithms + a[1:]) if len(logarithms) else logarithms

    def objective(a: Floats) -> tuple[float, Floats]:
        q, q_trusted = scaled(a, logs), scaled(a, logs_trusted)
        loss, targets = forward(labels, noise)(q)
        trusted_loss, trusted_targets = exact(q_trusted)
        residual, trusted_residual = q - targets, q_trusted - trusted_targets
        heat = float(np.exp(a[0])) * float((residual * logs).sum() + (trusted_residual * logs_trusted).sum())
        gradient = np.concatenate([[heat], residual.sum(0) + trusted_residual.sum(0)])
        prior = 0.5 * float(a @ a) / CALIBRATION_SPREAD**2
        return loss + trusted_loss + prior, gradient + a / CALIBRATION_SPREAD**2

    for _ in range(rounds):
        a = minimize(objective, a, jac=True, method="L-BFGS-B", options={"maxiter": 30}).x
        if fit_noise:
            noise = noise_matrix.fit(
                scaled(a, logs),
                labels.given,
                noise,
                pseudo_rows=pseudo_rows,
                dominant=not labels.has_judges,
                checked=labels.checked,
            )
    penalty = 0.5 * float(a @ a) / CALIBRATION_SPREAD**2
    return Calibrated(scaled(a, logs), scaled(a, logs_trusted), noise, penalty)
