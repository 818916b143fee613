"""Which labels are wrong, where labels are numbers.

The residual of a right label is Student's t around the opinion of a model that has not seen the row; a wrong label is
anywhere that labels are. The share of wrong labels, the spread and the degrees of
freedom are averaged over by their likelihood, no wrong label at all being one of the shares. Trusted rows are right, so
they say what the usual spread is.

Sources: Huber (1964, "Robust Estimation of a Location Parameter") for the models; Lange, Little and Taylor (1989,
"Robust Statistical Modeling Using the t Distribution") for the residuals; Banfield and Raftery (1993, "Model-Based
Gaussian and Non-Gaussian Clustering") for a wide component of wrong ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from threadpoolctl import threadpool_limits

from hposvc.labels.classifiers import TINY, Floats, Integers, Parameters
from hposvc.labels.cross_fit import FOLDS
from hposvc.labels.explanation import WIDENING, WrongRows
from hposvc.labels.judgement import threshold

DEGREES = (3.0, 5.0, 10.0, 30.0)
SHARES = np.concatenate([[0.0, 0.001, 0.0025, 0.005], np.arange(0.01, 0.7, 0.01)])
PENALTIES = (1000.0, 100.0, 10.0, 1.0, 0.1)

HUBER = 1.345
"""Where the Huber loss turns, in spreads: 95 % as efficient as least squares on normal residuals."""


class Regressor(Protocol):
    """What is needed of a model of numbers."""

    def fit(self, features: Floats, targets: Floats, weights: Floats, penalty: float) -> Parameters:
        """Robust to outliers: rows of ``features`` (n, d) and ``targets`` (n,) count with ``weights`` (n,)."""

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """Predictions (n,)."""


@dataclass(frozen=True)
class NumericLabels:
    """Rows whose labels were not checked, (n,), and trusted rows, (m,), of which there may be none.

    ``picked``: see :class:`hposvc.labels.cross_fit.Labels`.
    """

    features: Floats
    given: Floats
    trusted_features: Floats
    trusted: Floats
    seed: int = 0
    picked: bool = False


@dataclass(frozen=True)
class NumericAnalysis:
    """What is known of n unchecked rows: see :class:`hposvc.labels.analysis.LabelAnalysis`.

    ``opinion`` (n,) is what models that have not seen the row predict; ``penalty`` that of their weights.
    """

    probability_wrong: Floats
    threshold: float
    opinion: Floats
    wrong_rows: WrongRows
    penalty: float

    @property
    def suspects(self) -> NDArray[np.bool_]:
        """The rows whose label is probably wrong, (n,)."""
        return self.probability_wrong > self.threshold


class RobustRidge:
    """Ridge regression with the Huber loss, by iteratively reweighted least squares. The bias is not penalized."""

    def fit(self, features: Floats, targets: Floats, weights: Floats, penalty: float) -> Parameters:
        """See :class:`Regressor`."""
        x = np.column_stack([features, np.ones(len(features))])
        v = _ridge(x, targets, weights, penalty)
        for _ in range(8):
            residual = np.abs(targets - x @ v)
            spread = _weighted_median(residual, weights) / 0.6745 + TINY
            v = _ridge(x, targets, weights * np.minimum(1, HUBER * spread / np.maximum(residual, TINY)), penalty)
        return [v[:-1, None], v[-1:]]

    def predict(self, parameters: Parameters, features: Floats) -> Floats:
        """See :class:`Regressor`."""
        weights, bias = parameters
        predictions: Floats = features @ weights[:, 0] + bias[0]
        return predictions


class _Residuals(NamedTuple):
    """Of unchecked (n,) and of trusted rows (m,), by models that have not seen them."""

    unchecked: Floats
    trusted: Floats


class _Mixture(NamedTuple):
    """Averages over shares, spreads and degrees of freedom."""

    wrong: Floats
    mean: float
    variance: float


def analyse(labels: NumericLabels, regressor: Regressor, turns: int = 3) -> NumericAnalysis:
    """Find the probability of every row. Costs some tens of fits."""
    rng = np.random.default_rng(labels.seed)
    n, m = len(labels.given), len(labels.trusted)
    folds, trusted_folds = rng.permutation(n) % FOLDS, rng.permutation(m) % FOLDS
    right, penalty = np.ones(n), 1.0
    with threadpool_limits(1, user_api="blas"):
        for turn in range(turns):
            tried = PENALTIES if turn == 0 else (penalty,)
            found = [(_cross_fit(labels, regressor, folds, trusted_folds, right, each), each) for each in tried]
            residuals, penalty = min(
                found, key=lambda f: float(right @ np.abs(f[0].unchecked) + np.abs(f[0].trusted).sum())
            )
            judges = residuals.trusted[: 0 if labels.picked else m]
            mixture = _average(residuals._replace(trusted=judges), labels.given)
            right = np.maximum(1 - mixture.wrong, 1e-3)
    wrong = mixture.wrong
    half = 1.645 * WIDENING * float(np.sqrt(mixture.variance))
    centre = float(wrong.sum())
    return NumericAnalysis(
        probability_wrong=wrong,
        threshold=threshold(wrong),
        opinion=labels.given - residuals.unchecked,
        wrong_rows=WrongRows(centre, max(0.0, centre - half), min(float(n), centre + half)),
        penalty=penalty,
    )


def _cross_fit(
    labels: NumericLabels, regressor: Regressor, folds: Integers, trusted_folds: Integers, right: Floats, penalty: float
) -> _Residuals:
    unchecked, trusted = np.empty(len(labels.given)), np.empty(len(labels.trusted))
    for fold in range(FOLDS):
        kept, kept_trusted = folds != fold, trusted_folds != fold
        model = regressor.fit(
            np.vstack([labels.features[kept], labels.trusted_features[kept_trusted]]),
            np.concatenate([labels.given[kept], labels.trusted[kept_trusted]]),
            np.concatenate([right[kept], np.ones(int(kept_trusted.sum()))]),
            penalty,
        )
        unchecked[~kept] = labels.given[~kept] - regressor.predict(model, labels.features[~kept])
        if not kept_trusted.all():
            held_out = labels.trusted_features[~kept_trusted]
            trusted[~kept_trusted] = labels.trusted[~kept_trusted] - regressor.predict(model, held_out)
    return _Residuals(unchecked, trusted)


def _average(residuals: _Residuals, given: Floats) -> _Mixture:
    r, trusted = residuals
    wide = _log_wide(given)
    every = np.concatenate([r, trusted])
    first = float(np.median(np.abs(every))) / 0.6745 + TINY
    values, wrongs = [], []
    for degrees in DEGREES:
        spread = first
        for share in SHARES:
            for _ in range(8):  # expectation–maximization for the spread at this share
                right = 1 - _wrong(r, wide, share, spread, degrees)
                weights = np.concatenate([right, np.ones(len(trusted))])
                pull = (degrees + 1) / (degrees + (every / spread) ** 2)
                spread = float(np.sqrt((weights * pull * every**2).sum() / max(weights.sum(), TINY))) + TINY
            both = np.logaddexp(np.log1p(-share) + _log_t(r, spread, degrees), np.log(share + 1e-300) + wide)
            values.append(float(both.sum() + _log_t(trusted, spread, degrees).sum()))
            wrongs.append(_wrong(r, wide, share, spread, degrees))
    weights = np.exp(np.array(values) - max(values))
    weights /= weights.sum()
    wrong = np.array(wrongs)
    numbers = wrong.sum(1)
    mean = float(weights @ numbers)
    variance = float(weights @ (numbers - mean) ** 2 + weights @ (wrong * (1 - wrong)).sum(1))
    return _Mixture(weights @ wrong, mean, variance)


def _wrong(r: Floats, wide: Floats, share: float, spread: float, degrees: float) -> Floats:
    """The probability of each residual to be that of a wrong label, (n,)."""
    if share == 0:
        return np.zeros(len(r))
    odds = np.exp(np.clip(_log_t(r, spread, degrees) - wide, -50, 50))
    probability: Floats = share / (share + (1 - share) * odds)
    return probability


def _log_t(r: Floats, spread: float, degrees: float) -> Floats:
    constant = gammaln((degrees + 1) / 2) - gammaln(degrees / 2) - 0.5 * np.log(degrees * np.pi) - np.log(spread)
    values: Floats = constant - (degrees + 1) / 2 * np.log1p((r / spread) ** 2 / degrees)
    return values


def _log_wide(y: Floats) -> Floats:
    """Log density of wrong labels: half normal, half uniform, each as wide as all labels are."""
    centre, width, span = float(np.median(y)), max(float(np.std(y)), TINY), max(float(np.ptp(y)), TINY)
    normal = -0.5 * np.log(2 * np.pi) - np.log(width) - 0.5 * ((y - centre) / width) ** 2
    values: Floats = np.logaddexp(normal, -np.log(span)) - np.log(2)
    return values


def _ridge(x: Floats, y: Floats, weights: Floats, penalty: float) -> Floats:
    a = (x * weights[:, None]).T @ x
    a[np.diag_indices_from(a)] += np.append(np.full(x.shape[1] - 1, penalty), 1e-9)
    solution: Floats = np.linalg.solve(a, x.T @ (weights * y))
    return solution


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    place = int(np.searchsorted(weights[order].cumsum(), weights.sum() / 2))
    return float(values[order][min(place, len(values) - 1)])
