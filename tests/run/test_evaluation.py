"""What of the evaluation needs no model: how well planted errors were found."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from hposvc.run.evaluation import noise_scores


@pytest.mark.parametrize("values", [3, 40, 10_000], ids=["many ties", "some ties", "hardly a tie"])
def test_the_scores_of_finding_errors_are_those_of_scikit_learn(values: int) -> None:
    draw = np.random.default_rng(values)
    wrong = draw.random(500) < 0.3
    weights = np.clip(draw.integers(0, values, 500) / values - 0.2 * wrong, 0.0, 1.0)
    flagged = weights < 0.4
    scores = noise_scores(weights, flagged, wrong)
    assert scores.auc == pytest.approx(roc_auc_score(wrong, -weights), rel=1e-12)
    assert scores.precision == pytest.approx(precision_score(wrong, flagged))
    assert scores.recall == pytest.approx(recall_score(wrong, flagged))
    assert scores.f1 == pytest.approx(f1_score(wrong, flagged))
    assert (scores.planted, scores.flagged) == (int(wrong.sum()), int(flagged.sum()))


def test_without_errors_nothing_can_be_told_apart() -> None:
    assert noise_scores(np.ones(4), np.zeros(4, bool), np.zeros(4, bool)).auc == 0.5
