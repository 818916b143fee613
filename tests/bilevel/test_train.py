"""Training to convergence against scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from hposvc.bilevel import Linear, RegularizationProblem, evaluate, fit, fit_rows, predict
from tests.bilevel.references import relative_error, ridge


def test_the_lower_solution_of_ridge_regression() -> None:
    data = ridge()
    problem = RegularizationProblem(
        train=(data.x, data.y), upper_rows=(data.x_upper, data.y_upper), n_classes=None, dtype="float64"
    )
    lam = np.linspace(-3, 1, 6)
    found = fit(problem, [lam], tolerance=1e-8)
    assert found.converged
    assert relative_error(np.concatenate([a.ravel() for a in found.w]), data.solution(lam)) < 1e-7


def test_weighted_rows_agree_with_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    x = rng.normal(size=(90, 4)) + np.eye(3, 4)[labels]
    weights = rng.uniform(0.1, 1.0, 90)
    decay = 0.02
    found = fit_rows(Linear(), (x, labels), 3, row_weights=weights, weight_decay=decay)
    reference = LogisticRegression(C=1 / (decay * weights.sum()), tol=1e-10, max_iter=1000).fit(x, labels, weights)
    np.testing.assert_allclose(predict(Linear(), found.w, x), reference.predict_proba(x), atol=1e-4)
    score = evaluate(Linear(), found.w, (x, labels), 3).score
    assert score == reference.score(x, labels)
