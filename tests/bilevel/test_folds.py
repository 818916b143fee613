"""A single strength by cross-validation, against scikit-learn's models fold by fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error

from hposvc.bilevel import RegularizationProblem
from hposvc.bilevel.folds import assign_folds, held_out_losses
from hposvc.run import evaluation

FOLDS = 5
GRID = np.array([-6.0, -4.0, -2.0])


def classes(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    return rng.normal(size=(rows, 4)) + np.eye(3, 4)[labels], labels


def numbers(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    return x, x @ np.array([1.0, -0.5, 0.0, 0.0]) + 0.7 * rng.normal(size=rows)


def problem(rows: tuple[np.ndarray, np.ndarray], n_classes: int | None) -> RegularizationProblem:
    x, y = rows
    cut = len(y) * 3 // 4
    return RegularizationProblem(
        train=(x[:cut], y[:cut]), upper_rows=(x[cut:], y[cut:]), n_classes=n_classes, dtype="float64"
    )


@pytest.mark.parametrize(("rows", "n_classes"), [(classes(93), 3), (numbers(93), None)], ids=["classes", "numbers"])
def test_held_out_losses_are_those_of_a_model_for_each_fold(
    rows: tuple[np.ndarray, np.ndarray], n_classes: int | None
) -> None:
    x, y = rows
    found = held_out_losses(problem(rows, n_classes), rows, GRID, folds=FOLDS, seed=0, iterations=1000)
    fold = assign_folds(y, FOLDS, 0)
    expected = np.zeros(len(GRID))
    for k in range(FOLDS):
        inside, outside = fold == k, fold != k
        for i, strength in enumerate(np.exp(GRID)):
            if n_classes is None:
                model = Ridge(alpha=strength * outside.sum() / 2).fit(x[outside], y[outside])
                loss = mean_squared_error(y[inside], model.predict(x[inside]))
            else:
                model = LogisticRegression(C=1 / (strength * outside.sum()), tol=1e-8, max_iter=1000)
                loss = log_loss(y[inside], model.fit(x[outside], y[outside]).predict_proba(x[inside]), labels=range(3))
            expected[i] += loss * inside.sum() / len(y)
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_the_decay_of_the_weights_counts_in_every_fold() -> None:
    rows = numbers(93)
    plain = problem(rows, None)
    decayed = replace(plain, weight_decay=0.05)
    grid = np.log([0.01, 0.06])
    expected = held_out_losses(plain, rows, grid, folds=FOLDS, seed=0, iterations=1000)[1]
    found = held_out_losses(decayed, rows, grid, folds=FOLDS, seed=0, iterations=1000)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)  # 0.01 and the decay of 0.05


def test_folds_are_even_in_size_and_in_classes() -> None:
    labels = np.repeat([0, 1, 2], [50, 23, 12])
    fold = assign_folds(labels, FOLDS, seed=3)
    counts = np.array([np.bincount(fold[labels == label], minlength=FOLDS) for label in range(3)])
    assert (np.ptp(counts, axis=1) <= 1).all()
    assert np.ptp(counts.sum(0)) <= 1
    assert (assign_folds(labels, FOLDS, seed=4) != fold).any()


def test_all_rows_choose_the_strength_where_few_are_for_validation() -> None:
    rows = numbers(60)
    few = problem(rows, None)
    grid = np.log(evaluation.PRECISIONS / 60)
    losses = held_out_losses(few, rows, grid, folds=evaluation.FOLDS, seed=0, iterations=evaluation.GRID_ITERATIONS)
    found = evaluation.single_strengths(few)
    assert found.best == grid[losses.argmin()]
    assert grid[0] < found.mean < grid[-1]


def test_validation_rows_choose_the_strength_where_there_are_many() -> None:
    (x, y), (x_upper, y_upper) = numbers(40), numbers(evaluation.ENOUGH_ROWS, seed=1)
    many = RegularizationProblem(train=(x, y), upper_rows=(x_upper, y_upper), n_classes=None, dtype="float64")
    grid = np.log(evaluation.PRECISIONS / (40 + evaluation.ENOUGH_ROWS))
    models = [Ridge(alpha=strength * 40 / 2).fit(x, y) for strength in np.exp(grid)]
    losses = [mean_squared_error(y_upper, model.predict(x_upper)) for model in models]
    assert evaluation.single_strengths(many).best == grid[np.argmin(losses)]
