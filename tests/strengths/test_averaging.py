"""Linear models regularized by few hyperparameters: exact solutions, hypergradients, and what the average is worth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Lasso, LassoCV, LogisticRegression, Ridge, RidgeCV

from hposvc.strengths import averaging
from hposvc.strengths.averaging import as_parameters, assign_folds, average
from hposvc.strengths.fold_models import FoldModels, proximal_path, ridge_path


def sparse_table(rows: int = 120, noise: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three features that matter and many that do not."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3 + noise))
    return x, x[:, :3] @ np.array([1.0, -1.0, 0.5]) + 0.5 * rng.normal(size=rows)


def test_the_models_of_all_rows_are_those_of_scikit_learn() -> None:
    x, y = sparse_table(noise=5)
    data = FoldModels(x, y, assign_folds(y, 5, 0))
    ridge = ridge_path(data, np.array([0.3]))[0, :-1, -1, 0, 0]
    np.testing.assert_allclose(ridge, Ridge(alpha=0.3 * len(y) / 2 * 2).fit(x, y).coef_, atol=1e-6)
    l1 = np.ones((x.shape[1] + 1, 6, 1))
    lasso = proximal_path(data, l1, np.zeros(1), np.geomspace(1.0, 0.1, 8)[:, None])[-1, :-1, -1, 0, 0]
    np.testing.assert_allclose(lasso, Lasso(alpha=0.1).fit(x, y).coef_, atol=2e-3)


def test_the_two_class_model_is_that_of_logistic_regression() -> None:
    x, y = sparse_table(noise=5)
    labels = (y > 0).astype(np.int64)
    data = FoldModels(x, labels, assign_folds(labels, 5, 0))
    path = ridge_path(data, np.geomspace(1.0, 0.05, 6))
    found = path[-1, :-1, -1, 0, 0]
    expected = LogisticRegression(C=1 / (0.05 * len(y)), tol=1e-8).fit(x, labels).coef_[0]
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_the_hypergradient_is_the_slope_of_the_held_out_loss(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By implicit differentiation on the support, against central differences of the whole map."""
    x, y = sparse_table(noise=6)
    target = y if not classes else np.digitize(y, np.quantile(y, np.linspace(0, 1, classes + 1)[1:-1])).astype(np.int64)
    data = FoldModels(x, target, assign_folds(target, 4, 0))
    monkeypatch.setattr("hposvc.strengths.fold_models.TOLERANCE", 1e-10)
    monkeypatch.setattr("hposvc.strengths.fold_models.STEPS", 20_000)
    seen: dict[str, object] = {}

    def look(objective: object, start: np.ndarray, **_: object) -> object:
        seen.update(objective=objective, start=start)
        raise StopIteration

    monkeypatch.setattr(averaging, "minimize", look)
    found, log_norms = averaging.paths(data, 6)
    with pytest.raises(StopIteration):
        averaging.tuned(data, log_norms, (np.log(0.05), 0.7), found[1].w[-1][:, :, None])
    theta = np.array([np.log(0.05), 0.7, np.log(0.02)])
    objective = seen["objective"]
    assert callable(objective)
    analytic = objective(theta)[1]
    step = 1e-4
    slopes = [(objective(theta + step * e)[0] - objective(theta - step * e)[0]) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(analytic, slopes, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("noise", [0, 60])
def test_the_average_is_not_behind_the_best_of_ridge_and_lasso(noise: int) -> None:
    ours, best = 0.0, 0.0
    for seed in range(4):
        x, y = sparse_table(400, noise, seed)
        train, test = slice(0, 120), slice(120, None)
        weights, bias = as_parameters(average(x[train], y[train]).model)
        losses = [
            float(np.mean((model.fit(x[train], y[train]).predict(x[test]) - y[test]) ** 2))
            for model in (RidgeCV(np.geomspace(1e-2, 1e4, 30)), LassoCV(random_state=0))
        ]
        ours += float(np.mean(((x[test] @ weights + bias)[:, 0] - y[test]) ** 2))
        best += min(losses)
    assert ours < 1.02 * best


def test_shares_add_up_and_more_than_one_form_has_some() -> None:
    x, y = sparse_table()
    found = average(x, y)
    assert sum(each.share for each in found.candidates) == pytest.approx(1)
    assert {each.form for each in found.candidates} == {"ridge", "lasso", "adaptive lasso", "tuned"}
    assert found.loss < 1.05 * min(each.loss for each in found.candidates)
