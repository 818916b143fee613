"""Training to convergence against scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import huber
from sklearn.linear_model import ElasticNet, LogisticRegression

from hposvc.bilevel import CrossEntropy, Huber, Linear, RegularizationProblem, evaluate, fit, fit_rows, predict
from hposvc.bilevel.losses import Loss
from hposvc.bilevel.regularization import EPSILON
from tests.support.references import relative_error, ridge


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


def test_weighted_classes_agree_with_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [60, 20, 10])
    x = rng.normal(size=(90, 4)) + np.eye(3, 4)[labels]
    decay = 0.02
    loss = CrossEntropy((0.5, 1.5, 3.0))
    found = fit_rows(Linear(), (x, labels), 3, loss=loss, weight_decay=decay, dtype="float64")
    reference = LogisticRegression(C=1 / (decay * 90), tol=1e-10, max_iter=1000, class_weight="balanced").fit(x, labels)
    np.testing.assert_allclose(predict(Linear(), found.w, x), reference.predict_proba(x), atol=1e-5)
    scores = evaluate(Linear(), found.w, (x, labels), 3, loss=loss)
    losses = -reference.predict_log_proba(x)[np.arange(90), labels]
    assert scores.loss == pytest.approx(np.mean(np.array([0.5, 1.5, 3.0])[labels] * losses), rel=1e-4)
    assert scores.score == reference.score(x, labels)


def test_the_huber_loss_is_that_of_huber_and_bounds_the_pull_of_outliers() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 1))
    y = 2 * x[:, 0] + 0.1 * rng.normal(size=50)
    y[:5] += 100
    found = fit_rows(Linear(), (x, y), None, loss=Huber(0.3))
    residuals = predict(Linear(), found.w, x)[:, 0] - y
    scores = evaluate(Linear(), found.w, (x, y), None, loss=Huber(0.3))
    assert scores.loss == pytest.approx(2 * np.mean(huber(0.3, residuals)), rel=1e-5)
    assert scores.score == pytest.approx(1 - np.mean(residuals**2) / np.var(y), rel=1e-5)
    assert found.w[0][0, 0] == pytest.approx(2, abs=0.1)
    assert abs(fit_rows(Linear(), (x, y), None).w[0][0, 0] - 2) > 0.5


@pytest.mark.parametrize(
    ("loss", "n_classes"), [(Huber(), 3), (CrossEntropy(), None), (CrossEntropy((1.0, 2.0)), 3)], ids=str
)
def test_a_loss_that_does_not_fit_the_targets_is_refused(loss: Loss, n_classes: int | None) -> None:
    rows = (np.zeros((4, 2)), np.zeros(4, dtype=np.int64))
    with pytest.raises(ValueError, match=r"does not fit|one weight for each"):
        RegularizationProblem(train=rows, upper_rows=rows, n_classes=n_classes, loss=loss)


@pytest.mark.parametrize("penalty", ["l1", "elastic_net"])
def test_the_lower_solution_of_the_lasso_and_the_elastic_net(penalty: str) -> None:
    """Theirs is ½ mean r² + α ρ |w| + ½ α (1 − ρ) w², half of ours. Where theirs is zero, ours is within ε of it."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 10))
    y = x[:, 0] - 0.5 * x[:, 1] + 0.5 * rng.normal(size=200)
    absolute, square = 0.3, 0.2 if penalty == "elastic_net" else 0.0
    problem = RegularizationProblem(
        train=(x, y), upper_rows=(x, y), n_classes=None, per="model", penalty=penalty, dtype="float64"
    )
    lam = [np.log([absolute])] if penalty == "l1" else [np.log([square]), np.log([absolute])]
    found = fit(problem, lam, tolerance=1e-8).w[0][:, 0]
    alpha = (absolute + square) / 2
    reference = ElasticNet(alpha=alpha, l1_ratio=absolute / (2 * alpha), tol=1e-10).fit(x, y).coef_
    zero = reference == 0
    assert 5 <= zero.sum() <= 8
    assert np.abs(found[zero]).max() < EPSILON
    np.testing.assert_allclose(found[~zero], reference[~zero], atol=2e-3)
