"""Probabilities that a label is wrong, corrected by what the same models say of trusted rows.

A trusted row has a right label, and no model that speaks of it has seen it. So what is said of its label shows what
ordinary difficulty looks like. Unchecked rows are a mixture: if p(s) is the probability that a row of score s is wrong,
right rows have the density f(s) (1 − p(s)) / (1 − π) where f is that of unchecked rows, π the mean of p over them.
Trusted rows s_j are a sample of it, with the likelihood

    Π_j (1 − p(s_j)) / (1 − π)

which compares the two samples as in learning from positive and unlabelled rows (Elkan and Noto, 2008, "Learning
Classifiers from Only Positive and Unlabeled Data"). Here p(s) = σ(a + b s) (Platt scaling), and everything is averaged
over a, b and two scores: the logit of the probability that is corrected, whose model of the noise is then nearly right,
and the doubt of the features alone, with any number of wrong rows, in case that it is not: labels that are wrong where
rows are difficult follow no noise matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SHIFTS = np.linspace(-8, 8, 33)
"""Values of a."""

SLOPES = np.geomspace(0.35, 2.0, 7)
"""Values of b."""

SHIFT_SCALE, UNCHECKED_SCALE, SLOPE_SPREAD = 0.5, 1.0, 0.3
"""The prior: Cauchy for a, and log b ~ N(0, 0.3²). Its tails are heavy: the models may be wrong by much. It is wider
where there is no trusted row.
"""

UPWARDS = 4.0
"""And e^{−a / 4} for a > 0: the mixture bounds the number of wrong rows from above better than from below."""

MODEL_FAILS = 0.05
"""The prior probability that no noise matrix describes the noise."""

DOUBT_SHIFTS, DOUBT_SLOPES = np.linspace(-16, 16, 65), (1.0, 2.0)
"""Values of a and b for the doubt."""

SHARES = (0.005, 0.8)
"""The prior of the doubt is even in the logarithm of the share of wrong rows between these, from the mean of the
probabilities on: what no noise matrix describes comes on top of what it does.
"""

LEAST = 1e-3
"""Probabilities below this, and above one minus it, say much the same."""

TINY = 1e-6
MOST_DOUBT = 9.0


class Scores(NamedTuple):
    """Of n rows: the probability that the label is wrong, and the doubt of the features alone, (n,) each."""

    wrong: Floats
    doubt: Floats


class Recalibrated(NamedTuple):
    """The corrected probability of each of n rows, (n,); the number of wrong rows and its weight by a, b and score."""

    wrong: Floats
    numbers: Floats
    weights: Floats
    variance: float


def doubt(opinion: Floats, given: Integers) -> Floats:
    """Log of the probability of the likeliest other class over that of the label, (n,), by ``opinion`` (n, k)."""
    at = np.arange(len(given)), given
    others = opinion.copy()
    others[at] = 0
    values: Floats = np.log(others.max(1, initial=0) + TINY) - np.log(opinion[at] + TINY)
    return np.clip(values, -MOST_DOUBT, MOST_DOUBT)


def recalibrate(unchecked: Scores, trusted: Scores) -> Recalibrated:
    """Correct the probabilities of n ``unchecked`` rows by what is said of m ``trusted`` rows, whose labels are right.

    Costs n + m numbers for each of some four hundred pairs of a and b.
    """
    pairs = [
        *_pairs(_logit(unchecked.wrong), _logit(trusted.wrong), SHIFTS, SLOPES),
        *_pairs(unchecked.doubt, trusted.doubt, DOUBT_SHIFTS, DOUBT_SLOPES),
    ]
    first = len(SHIFTS) * len(SLOPES)
    numbers = np.array([_sigmoid(pair.a + pair.b * pair.unchecked).sum() for pair in pairs])
    values = np.array([_log_likelihood(pair, number) for pair, number in zip(pairs, numbers, strict=True)])
    values[:first] += np.log(1 - MODEL_FAILS) + _normalized(_prior(pairs[:first]))
    values[first:] += np.log(MODEL_FAILS) + _normalized(
        _prior_of_doubt(numbers[first:] / len(unchecked.wrong), float(unchecked.wrong.mean()))
    )
    weights = np.exp(values - values.max())
    weights /= weights.sum()
    mean, variance = np.zeros(len(unchecked.wrong)), 0.0
    for weight, pair in zip(weights, pairs, strict=True):
        if weight > TINY:
            p = _sigmoid(pair.a + pair.b * pair.unchecked)
            mean += weight * p
            variance += weight * float((p * (1 - p)).sum())
    return Recalibrated(mean, numbers, weights, variance)


class _Pair(NamedTuple):
    """a and b, and the scores of unchecked (n,) and trusted rows (m,) that they are for."""

    unchecked: Floats
    trusted: Floats
    a: float
    b: float


def _pairs(unchecked: Floats, trusted: Floats, shifts: Floats, slopes: Floats | tuple[float, ...]) -> list[_Pair]:
    return [_Pair(unchecked, trusted, float(a), float(b)) for b in slopes for a in shifts]


def _log_likelihood(pair: _Pair, number: float) -> float:
    right = np.log(_sigmoid(-pair.a - pair.b * pair.trusted)).sum()
    return float(right - len(pair.trusted) * np.log(max(1 - number / len(pair.unchecked), TINY)))


def _prior(pairs: list[_Pair]) -> Floats:
    a, b = np.array([pair.a for pair in pairs]), np.array([pair.b for pair in pairs])
    scale = SHIFT_SCALE if len(pairs[0].trusted) else UNCHECKED_SCALE
    values: Floats = -np.log1p((a / scale) ** 2) - np.maximum(a, 0) / UPWARDS - 0.5 * (np.log(b) / SLOPE_SPREAD) ** 2
    return values


def _prior_of_doubt(shares: Floats, least: float) -> Floats:
    """Even in log π from ``least`` on for each slope, where the shares π of one slope grow with a."""
    low, high = SHARES
    low = float(np.clip(least, low, high / 2))
    by_slope = np.log(np.clip(shares.reshape(len(DOUBT_SLOPES), -1), low, high))
    values: Floats = np.log(np.gradient(by_slope, axis=1) + 1e-300).ravel()
    return values


def _normalized(logarithms: Floats) -> Floats:
    values: Floats = logarithms - np.logaddexp.reduce(logarithms)
    return values


def _logit(p: Floats) -> Floats:
    """The logit of p, nearer to 0 where p is nearly 0 or 1; it grows with p all the same."""
    values: Floats = np.log((p + LEAST) / (1 - p + LEAST))
    return values


def _sigmoid(x: Floats) -> Floats:
    values: Floats = 1 / (1 + np.exp(-x))
    return values
