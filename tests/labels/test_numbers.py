"""Wrong labels that are numbers."""

from __future__ import annotations

import numpy as np
import pytest

from hposvc.labels.numbers import NumericLabels, RobustRidge, analyse


@pytest.mark.parametrize("trusted", [40, 0])
@pytest.mark.parametrize("share", [0.0, 0.15])
def test_labels_of_other_rows_are_found_and_ordinary_residuals_are_not(share: float, trusted: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 6))
    true = features @ np.array([1.0, -0.7, 0.5, 0.0, 0.0, 0.3]) + 0.3 * rng.standard_t(6, 500)
    given = true.copy()
    wrong = np.zeros(500, dtype=bool)
    wrong[rng.choice(np.arange(trusted, 500), round(share * 500), replace=False)] = True
    given[wrong] = rng.permutation(given[wrong]) + rng.choice([-2, 2], wrong.sum())
    labels = NumericLabels(features[trusted:], given[trusted:], features[:trusted], true[:trusted])
    found = analyse(labels, RobustRidge())
    wrong = wrong[trusted:]
    if not share:
        assert found.suspects.mean() < 0.02
        return
    assert (found.suspects & wrong).sum() / wrong.sum() > 0.65  # some wrong labels are near the right one
    assert (found.suspects & wrong).sum() / found.suspects.sum() > 0.8
    assert found.wrong_rows.low <= wrong.sum() <= found.wrong_rows.high


def test_rows_that_a_review_picked_do_not_say_how_far_right_labels_lie() -> None:
    """A review shows the most suspicious rows first; those that are right lie far from what is expected."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(560, 6))
    expected = features @ np.array([1.0, -0.7, 0.5, 0.0, 0.0, 0.3])
    true = expected + 0.3 * rng.normal(size=560)
    true[500:] = expected[500:] + rng.choice([-3.0, 3.0], 60)
    given, wrong = true.copy(), np.arange(560) < 75
    given[wrong] += rng.choice([-2.0, 2.0], 75)
    labels = NumericLabels(features[:500], given[:500], features[500:], true[500:], picked=True)
    found = analyse(labels, RobustRidge())
    assert (found.suspects & wrong[:500]).sum() / 75 > 0.8
    assert (found.suspects & wrong[:500]).sum() / found.suspects.sum() > 0.8


def test_outliers_do_not_move_the_robust_model() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 2))
    targets = features @ np.array([1.0, 2.0]) + 0.1 * rng.normal(size=200)
    targets[:20] += 50
    weights, _ = RobustRidge().fit(features, targets, np.ones(200), 1e-3)
    np.testing.assert_allclose(weights[:, 0], [1.0, 2.0], atol=0.1)
