"""What is claimed of each row, from its posterior: whether its label is wrong, how many are, and which are suspects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hposvc.labels.classifiers import TINY, Floats, Integers
from hposvc.labels.cross_fit import Labels
from hposvc.labels.explanation import Explanation, WrongRows, wrong_of_all
from hposvc.labels.recalibration import Recalibrated, Scores, doubt, recalibrate

LEAST_SHARE = 0.02
"""Fewer wrong rows than this share of all are taken for none."""

WIDER = 1.25
"""By how much intervals are wider than by the models' own account: real tables fit models worse than models know."""

LEAST_THRESHOLD = 0.15
"""No row is a suspect whose label is right with a higher probability than one minus this."""


@dataclass(frozen=True)
class Judgement:
    """What is claimed of n unchecked rows in k classes.

    ``posterior`` (n, k) is the probability of each class given features and label, ``probability_wrong`` (n,) that the
    label is not the class.
    """

    posterior: Floats
    probability_wrong: Floats
    wrong_rows: WrongRows

    @cached_property
    def threshold(self) -> float:
        """What the probability to be wrong has to exceed for a suspect."""
        return threshold(self.probability_wrong)

    @property
    def suspects(self) -> NDArray[np.bool_]:
        """The rows whose label is probably wrong, (n,)."""
        return self.probability_wrong > self.threshold


def threshold(wrong: Floats) -> float:
    """What ``wrong`` (n,) has to exceed for a suspect: one half at most, and less where that finds more wrong rows.

    Half of the highest expected F1 of any set of rows is the threshold of highest expected F1 (Lipton et al., 2014,
    "Optimal Thresholding of Classifiers to Maximize F1 Measure").
    """
    falling = np.sort(wrong)[::-1]
    expected = 2 * falling.cumsum() / (np.arange(1, len(wrong) + 1) + wrong.sum() + TINY)
    return float(np.clip(expected.max() / 2, LEAST_THRESHOLD, 0.5))


def judge(labels: Labels, explanation: Explanation) -> Judgement:
    """Judge the unchecked rows by what explains the labels, which trusted rows correct if they are like the others.

    Where the features do not tell, right labels cannot be told from wrong ones: the interval holds every number.
    """
    n, opinion = len(labels.given), explanation.opinion
    posterior, every = explanation.posterior[:n], wrong_of_all(labels, explanation.posterior)
    wrong, judges = every[:n], Scores(every[n:], doubt(opinion.q_trusted, labels.trusted))
    if not labels.has_judges:
        judges = Scores(every[:0], every[:0])
    found = recalibrate(Scores(wrong, doubt(opinion.q, labels.given)), judges)
    if labels.has_judges:
        posterior, wrong, number = _with_wrong(posterior, labels.given, found.wrong), found.wrong, _counted(found)
    else:
        number = _widened(explanation.wrong_rows, found)
    number = _wider(number, n) if explanation.features_tell else WrongRows(number.expected, 0.0, float(n))
    return Judgement(posterior, wrong, number)


def _counted(found: Recalibrated) -> WrongRows:
    """The number of wrong rows by the weights of ``found``, and by the chance of each row."""
    n, centre, ends = len(found.wrong), float(found.wrong.sum()), _ends(found)
    low, high = np.hypot(np.maximum([centre - ends[0], ends[1] - centre], 0), 1.645 * np.sqrt(found.variance))
    return WrongRows(centre, max(0.0, centre - float(low)), min(float(n), centre + float(high)))


def _widened(believed: WrongRows, found: Recalibrated) -> WrongRows:
    """``believed`` with an interval that allows that the models are wrong, which no trusted row can tell."""
    low, high = _ends(found)
    return WrongRows(believed.expected, min(believed.low, float(low)), max(believed.high, float(high)))


def _wider(number: WrongRows, rows: int) -> WrongRows:
    expected, low, high = number.expected, number.low, number.high
    low, high = expected - WIDER * (expected - low), expected + WIDER * (high - expected)
    return WrongRows(expected, max(0.0, low), min(float(rows), high))


def _ends(found: Recalibrated) -> Floats:
    """5 % and 95 % of the number of wrong rows by the weights of ``found``, (2,), where next to none is none."""
    order = np.argsort(found.numbers)
    numbers = np.where(found.numbers < LEAST_SHARE * len(found.wrong), 0, found.numbers)[order]
    ends: Floats = np.interp([0.05, 0.95], found.weights[order].cumsum(), numbers)
    return ends


def _with_wrong(posterior: Floats, given: Integers, wrong: Floats) -> Floats:
    """``posterior`` (n, k) with the probability ``wrong`` (n,) that the class is not the label that was given."""
    at = np.arange(len(given)), given
    others = posterior + TINY
    others[at] = 0
    changed: Floats = others / others.sum(1, keepdims=True) * wrong[:, None]
    changed[at] = 1 - wrong
    return changed
