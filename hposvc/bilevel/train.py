"""Training to convergence: the lower level alone, for refits, rivals and starting points.

Full-batch L-BFGS (Nocedal, 1980; SciPy's L-BFGS-B) on gradients from Jittor.

With dropout, Adam on all rows (Kingma and Ba, 2015), the units being drawn anew at each step. Training without dropout
would minimize another loss than the one that λ was tuned for, and L-BFGS on units drawn once would learn them by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from hposvc.bilevel.arrays import Arrays, Precision, Var, constant, detach, device_array, squared_norm
from hposvc.bilevel.losses import Loss, default_loss, log_sum_exp
from hposvc.bilevel.models import Kept, Model, Outputs
from hposvc.bilevel.optimizers import Moments, Schedule, initial_moments, update
from hposvc.bilevel.problem import BilevelProblem, Rows
from hposvc.bilevel.runtime import jt

ANNEALED_RATE = 1e-2
"""Where the rate of Adam starts."""

CONVEX_ITERATIONS, NETWORK_ITERATIONS, ANNEALED_ITERATIONS = 1000, 200, 400
"""How long training may take. A convex loss mostly ends by itself; that of a network goes on falling long after it has
stopped to help (docs/decisions/guarding-the-upper-level.md), and Adam ends when its rate has fallen.
"""


@dataclass(frozen=True)
class Fit:
    """A trained model: parameters, the loss that was minimized, and how the training ended."""

    w: Arrays
    loss: float
    iterations: int
    converged: bool


class Scores(NamedTuple):
    """Mean loss and accuracy (classes) or R² (numbers) of a model on some rows."""

    loss: float
    score: float


def fit(
    problem: BilevelProblem,
    lam: Arrays,
    *,
    w: Arrays | None = None,
    seed: int = 0,
    iterations: int | None = None,
    tolerance: float = 1e-6,
) -> Fit:
    """w(λ): the lower level of ``problem`` minimized at fixed λ over all its rows.

    Starts at ``w``, or from scratch with ``seed``. ``tolerance`` bounds the largest entry of the final gradient, and
    ``iterations`` is by default what suits the model.
    """
    iterations = iterations or _default_iterations(stochastic=problem.stochastic, convex=problem.convex)
    start = problem.initial_w(np.random.default_rng(seed)) if w is None else w
    fixed = [device_array(array, problem.dtype) for array in lam]
    everything = problem.lower_batch(None)

    def objective(v: list[Var], batch: Any = everything) -> Var:
        return problem.lower_loss(problem.lift(v, batch), fixed, batch)

    if problem.stochastic:
        steps = (problem.lower_batch(None, (seed, step, 3)) for step in range(iterations))
        return _anneal((partial(objective, batch=batch) for batch in steps), start, problem.dtype, iterations)
    return minimize_loss(objective, start, problem.dtype, iterations=iterations, tolerance=tolerance)


def fit_rows(
    model: Model,
    rows: Rows,
    n_classes: int | None,
    *,
    loss: Loss | None = None,
    row_weights: NDArray[np.float64] | None = None,
    weight_decay: float = 0.0,
    dtype: Precision = "float32",
    seed: int = 0,
    iterations: int | None = None,
    tolerance: float = 1e-6,
) -> Fit:
    """Minimize Σ s_i ℓ_i(w) / Σ s_i + (c/2)‖W‖² from scratch; ``row_weights`` are the s_i, 1 by default.

    ``loss`` is by default cross-entropy for classes and squared error for numbers, ``iterations`` what suits the model.
    """
    iterations = iterations or _default_iterations(stochastic=model.dropout > 0, convex=model.convex)
    features, targets = rows
    x, y = device_array(features, dtype), _on_device(targets, n_classes, dtype)
    weights = np.ones(len(targets)) if row_weights is None else row_weights
    s = device_array(weights / weights.sum(), dtype)
    row_loss = loss or default_loss(n_classes)

    def objective(w: list[Var], kept: Kept = ()) -> Var:
        value = (s * row_loss(model.outputs(model.lift(w, x), kept), y)).sum()
        return value + constant(weight_decay / 2, value) * squared_norm(w[::2])

    start = model.initial(features.shape[1], n_classes or 1, np.random.default_rng(seed))
    if model.dropout:
        steps = (model.draw(len(targets), np.random.default_rng((seed, step, 3))) for step in range(iterations))
        drawn = ([jt.array(units) for units in kept] for kept in steps)
        return _anneal((partial(objective, kept=kept) for kept in drawn), start, dtype, iterations)
    return minimize_loss(objective, start, dtype, iterations=iterations, tolerance=tolerance)


def fit_likelihoods(
    model: Model,
    features: NDArray[np.float64],
    values: NDArray[np.float64],
    noisy: NDArray[np.bool_],
    *,
    penalty: float,
    start: Arrays | None = None,
    dtype: Precision = "float32",
    seed: int = 0,
    iterations: int | None = None,
) -> Fit:
    """Minimize the mean loss of n rows plus (``penalty`` / 2n)‖W‖², from ``start`` or from scratch.

    ``values`` (n, k) are soft labels t with the loss −Σ_c t_c log q_c, or, where ``noisy`` (n,) says so, likelihoods ℓ
    of the label that was given, with the loss −log Σ_c q_c ℓ_c.
    """
    iterations = iterations or _default_iterations(stochastic=model.dropout > 0, convex=model.convex)
    n, k = values.shape
    x, t, mask = device_array(features, dtype), device_array(values, dtype), device_array(noisy.astype(float), dtype)
    logs = device_array(np.log(np.maximum(values, 1e-12)), dtype)

    def objective(w: list[Var], kept: Kept = ()) -> Var:
        logits = model.outputs(model.lift(w, x), kept).total()
        total = log_sum_exp(logits)
        given = mask * log_sum_exp(logits + logs) + (constant(1.0, mask) - mask) * (t * logits).sum(1)
        value = (total - given).sum() / constant(n, total)
        return value + constant(penalty / (2 * n), value) * squared_norm(w[::2])

    if start is None:
        start = model.initial(features.shape[1], k, np.random.default_rng(seed))
    if model.dropout:
        steps = (model.draw(n, np.random.default_rng((seed, step, 3))) for step in range(iterations))
        drawn = ([jt.array(units) for units in kept] for kept in steps)
        return _anneal((partial(objective, kept=kept) for kept in drawn), start, dtype, iterations)
    return minimize_loss(objective, start, dtype, iterations=iterations)


def predict(
    model: Model, w: Arrays, features: NDArray[np.float64], dtype: Precision = "float32"
) -> NDArray[np.float64]:
    """Probabilities (n, k) of a classifier, or predictions (n, 1), for ``features`` (n, d)."""
    outputs = _outputs(model, w, features, dtype)
    if outputs.shape[1] == 1:
        return outputs
    weights = np.exp(outputs - outputs.max(1, keepdims=True))
    probabilities: NDArray[np.float64] = weights / weights.sum(1, keepdims=True)
    return probabilities


def evaluate(
    model: Model,
    w: Arrays,
    rows: Rows,
    n_classes: int | None,
    dtype: Precision = "float32",
    *,
    loss: Loss | None = None,
) -> Scores:
    """Mean loss and score on ``rows``, summed in float64. The score is plain accuracy or R², whatever ``loss`` is."""
    features, targets = rows
    outputs = _outputs(model, w, features, dtype)
    logits = Outputs(device_array(outputs, dtype), device_array(np.zeros(outputs.shape[1]), dtype))
    columns = _on_device(targets, n_classes, dtype)
    losses = (loss or default_loss(n_classes))(logits, columns).numpy().astype(np.float64)
    if n_classes is not None:
        return Scores(float(losses.mean()), float((outputs.argmax(1) == targets).mean()))
    variance = float(np.var(targets)) or 1.0
    return Scores(float(losses.mean()), float(1 - np.mean((outputs[:, 0] - targets) ** 2) / variance))


def _default_iterations(*, stochastic: bool, convex: bool) -> int:
    if stochastic:
        return ANNEALED_ITERATIONS
    return CONVEX_ITERATIONS if convex else NETWORK_ITERATIONS


def _on_device(targets: NDArray[Any], n_classes: int | None, dtype: Precision) -> Var:
    """Targets as a loss takes them: labels (n,), or one column (n, 1)."""
    return jt.array(targets.astype(np.int32)) if n_classes else device_array(targets.reshape(-1, 1), dtype)


def _outputs(model: Model, w: Arrays, features: NDArray[np.float64], dtype: Precision) -> NDArray[np.float64]:
    x, parameters = device_array(features, dtype), [device_array(a, dtype) for a in w]
    outputs: NDArray[np.float64] = model.head(model.lift(parameters, x)).numpy().astype(np.float64)
    return outputs


def _anneal(objectives: Iterable[Callable[[list[Var]], Var]], start: Arrays, dtype: Precision, iterations: int) -> Fit:
    """One step of Adam on each of ``iterations`` objectives, at a rate that falls to a hundredth along a cosine."""
    w, rate = [device_array(a, dtype) for a in start], Schedule("cosine")
    moments = initial_moments("adam", w)
    for k, objective in enumerate(objectives):
        loss = objective(w)
        gradient = jt.grad(loss, w)
        moved, after = update("adam", w, gradient, moments, rate=ANNEALED_RATE * rate(k, iterations), k=k + 1)
        w, moments = detach(moved), Moments(detach(after.first), detach(after.second))
        jt.sync([loss, *w, *moments.first, *moments.second])
    return Fit([a.numpy().astype(np.float64) for a in w], float(loss.numpy()[0]), iterations, converged=True)


def minimize_loss(
    objective: Callable[[list[Var]], Var],
    start: Arrays,
    dtype: Precision,
    *,
    iterations: int,
    tolerance: float = 1e-6,
    decrease: float | None = None,
) -> Fit:
    """Minimize ``objective``, a loss of shape (1,), from ``start`` by L-BFGS, in ``dtype``.

    It ends when no entry of the gradient is above ``tolerance``, when a step lowers the loss by less than ``decrease``
    (by default what ``dtype`` resolves; relative where the loss is above 1), or after ``iterations``.
    """
    shapes = [a.shape for a in start]
    ends = np.cumsum([a.size for a in start])[:-1]

    def unpack(flat: NDArray[np.float64]) -> Arrays:
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]

    def value_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = [device_array(a, dtype) for a in unpack(flat)]
        loss = objective(w)
        gradient = jt.grad(loss, w)
        jt.sync([loss, *gradient])
        return float(loss.numpy()[0]), np.concatenate([g.numpy().astype(np.float64).ravel() for g in gradient])

    flat = np.concatenate([a.ravel() for a in start]).astype(np.float64)
    # SciPy's vectors need no second thread of BLAS, which waits by spinning in the way of the threads of Jittor's
    # kernels: between two steps each kind kept the processor from the other, and training took eight times as long.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            value_and_gradient,
            flat,
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": iterations,
                "maxfun": 2 * iterations,
                "gtol": tolerance,
                "ftol": float(np.finfo(dtype).eps) / 4 if decrease is None else decrease,
                "maxcor": 20,
            },
        )
    return Fit(unpack(found.x), float(found.fun), int(found.nit), bool(found.success))
