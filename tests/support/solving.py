"""Small problems, and the solver run on them."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np

from hposvc.bilevel import (
    BilevelProblem,
    Iteration,
    ReweightingProblem,
    SolveConfig,
    SolverState,
    hypergradient,
    initial_state,
    solve,
)
from hposvc.bilevel.arrays import device_array
from hposvc.bilevel.problem import Supervised
from hposvc.bilevel.runtime import jt
from tests.support.references import Array


def classes(rows: int, seed: int, dtype: str = "float32", **fields: object) -> ReweightingProblem:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    upper = rng.integers(0, 3, rows)
    return ReweightingProblem(
        train=(rng.normal(size=(rows, 5)) + labels[:, None], labels),
        upper_rows=(rng.normal(size=(rows, 5)) + upper[:, None], upper),
        n_classes=3,
        weight_decay=0.01,
        dtype=dtype,
        **fields,
    )


def started(problem: Supervised, config: SolveConfig, seed: int = 1) -> SolverState:
    """A state away from every special point: random w and λ."""
    rng = np.random.default_rng(seed)
    state = initial_state(problem, config)
    state.w = [device_array(a + 0.3 * rng.normal(size=a.shape), problem.dtype) for a in problem.initial_w(rng)]
    state.lam = [device_array(a + 0.5 * rng.normal(size=a.shape), problem.dtype) for a in problem.initial_lambda()]
    return state


def flat(arrays: list[object]) -> Array:
    return np.concatenate([np.asarray(a.numpy(), dtype=np.float64).ravel() for a in arrays])


def estimate(problem: Supervised, config: SolveConfig, state: SolverState) -> Array:
    return flat(hypergradient(problem, config, state))


def upper_loss_of(problem: Supervised, config: SolveConfig, w: list[object], lam: list[object]) -> float:
    """F(w_K) of the whole map, from ``w``, by running the lower steps: it knows nothing of any formula."""
    batch = problem.lower_batch(None)
    rate = device_array(np.array([float(config.lower.learning_rate)]), problem.dtype)
    for _ in range(config.lower.steps):
        gradient = jt.grad(problem.lower_loss(problem.lift(w, batch), lam, batch), w)
        w = [(a - rate * g).detach() for a, g in zip(w, gradient, strict=True)]
    return float(problem.upper(w, lam).loss.numpy()[0])


def central_differences(problem: Supervised, config: SolveConfig, state: SolverState, step: float = 1e-5) -> Array:
    """dF(w_K(λ), λ)/dλ by perturbing each λ and running the lower steps again."""

    def upper_loss(values: Array) -> float:
        parts = np.split(values, np.cumsum([a.numel() for a in state.lam])[:-1])
        lam = [device_array(part.reshape(a.shape), problem.dtype) for part, a in zip(parts, state.lam, strict=True)]
        return upper_loss_of(problem, config, [a.detach() for a in state.w], lam)

    lam = flat(state.lam)
    steps = step * np.eye(len(lam))
    return np.array([(upper_loss(lam + e) - upper_loss(lam - e)) / (2 * step) for e in steps])


def images(rows: int, shape: tuple[int, int, int] = (4, 4, 1)) -> tuple[Array, Array]:
    """Noise with a bright stripe, whose direction is the class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, rows)
    x = rng.normal(size=(rows, *shape))
    x[labels == 0, 1] += 1
    x[labels == 1, :, 1] += 1
    return x.reshape(rows, -1), labels


def reweighting(rows: int = 40, noise: float = 0.4, **fields: object) -> ReweightingProblem:
    """Three clusters, a fraction of whose training labels is wrong: the first ``noise * rows`` of them."""
    rng = np.random.default_rng(5)
    centres = 5 * np.eye(3, 4)
    labels, upper, selection = rng.integers(0, 3, rows), rng.integers(0, 3, 30), rng.integers(0, 3, 15)
    shown = labels.copy()
    wrong = int(noise * rows)
    shown[:wrong] = (labels[:wrong] + rng.integers(1, 3, wrong)) % 3

    def features(of: np.ndarray) -> np.ndarray:
        return centres[of] + rng.normal(size=(len(of), 4))

    return ReweightingProblem(
        train=(features(labels), shown),
        upper_rows=(features(upper), upper),
        selection=(features(selection), selection),
        n_classes=3,
        weight_decay=1e-3,
        **fields,
    )


def run(
    problem: BilevelProblem, config: SolveConfig, state: SolverState | None = None
) -> tuple[list[Iteration], SolverState]:
    state = initial_state(problem, config) if state is None else state
    return [iteration for batch in solve(problem, config, state) for iteration in batch], state


def timeless(iterations: list[Iteration]) -> list[tuple[object, ...]]:
    return [astuple(replace(iteration, seconds=0.0)) for iteration in iterations]
