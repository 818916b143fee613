"""Cross-validation of one strength for everything, for linear models: one model per fold, all of them trained as one.

The models differ in the rows that they leave out, not in their data: beside each other they are one linear map with
``folds`` times as many outputs, so one product with the features serves all of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hposvc.bilevel.arrays import Arrays, Var, device_array
from hposvc.bilevel.models import Outputs
from hposvc.bilevel.problem import Rows
from hposvc.bilevel.regularization import RegularizationProblem
from hposvc.bilevel.runtime import jt
from hposvc.bilevel.train import minimize_loss

Floats = NDArray[np.float64]

# Losses are compared to tell strengths apart, and do not need more than this.
DECREASE = 1e-6


def assign_folds(targets: NDArray[np.generic], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row, shape (n,): of equal size to within one row, and as evenly as possible by class."""
    shuffled = np.random.default_rng(seed).permutation(len(targets))
    if np.issubdtype(targets.dtype, np.integer):
        shuffled = shuffled[np.argsort(targets[shuffled], kind="stable")]
    fold = np.empty(len(targets), dtype=np.int64)
    fold[shuffled] = np.arange(len(targets)) % folds
    return fold


def held_out_losses(
    problem: RegularizationProblem, rows: Rows, grid: Floats, *, folds: int, seed: int, iterations: int
) -> Floats:
    """The mean loss on held-out ``rows`` with every λ at each value of the ascending ``grid``, shaped like it.

    ``problem`` says which loss and penalty; its model must be linear. Each fit, of at most ``iterations`` steps, starts
    from the one of the next stronger penalty.
    """
    data = problem.on_device(rows)
    n, k = len(rows[1]), problem.n_outputs
    inside = assign_folds(rows[1], folds, seed)[:, None] == np.arange(folds)
    outside = device_array(~inside / (~inside).sum(0), problem.dtype)
    targets = jt.stack([data.targets] * folds, 1).reshape([n * folds, *data.targets.shape[1:]])
    no_bias = jt.zeros([k], problem.dtype)
    one_strength = replace(problem, per="model")

    def row_losses(w: list[Var]) -> Var:
        outputs = problem.model.head(problem.model.lift(w, data.features))
        return problem.row_loss(Outputs(outputs.reshape([n * folds, k]), no_bias), targets).reshape([n, folds])

    w: Arrays = [np.zeros((rows[0].shape[1], folds * k)), np.zeros(folds * k)]
    held_out = np.empty(len(grid))
    for i in reversed(range(len(grid))):
        lam = [device_array(np.full(1, grid[i]), problem.dtype) for _ in one_strength.parts]

        def objective(v: list[Var], lam: list[Var] = lam) -> Var:
            loss = (outside * row_losses(v)).sum() + one_strength.regularizer(v[::2], lam)
            return loss + problem.decay([v[0], *v]) if problem.weight_decay else loss

        w = minimize_loss(objective, w, problem.dtype, iterations=iterations, decrease=DECREASE).w
        losses = row_losses([device_array(a, problem.dtype) for a in w])
        jt.sync([losses])
        held_out[i] = losses.numpy().astype(np.float64)[inside].mean()
    return held_out
