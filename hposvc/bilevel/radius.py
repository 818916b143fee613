"""Which oracle a run uses, and the automatic radius of its finite differences: both held against exact products.

The perturbation has the norm ``factor`` · c · eps^(1/3) · (1 + ‖w‖) (:func:`hposvc.bilevel.oracle.automatic_radius`).
Truncation grows with the square of the radius and rounding falls with it; the factor is halved or doubled while that
brings the product closer to the exact one. Where even the best radius leaves too much, an automatic oracle is exact
from there on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from hposvc.bilevel.arrays import Var, constant, detach, length
from hposvc.bilevel.config import SolveConfig
from hposvc.bilevel.hypergradient import Objective, Point, Response, SecondOrder
from hposvc.bilevel.oracle import Oracle, balanced_factor
from hposvc.bilevel.runtime import jt

# Finite differences are held against an exact product at the first iteration, soon after, when w has left its start,
# and then this often. The factor is moved by at most so many halvings or doublings each time.
FITTED_SOON, FITTED_EVERY, FITTED_ROUNDS = 20, 100, 10

# An automatic oracle is exact where finite differences err by more than this at their best radius. Between two fits the
# error grows: up to five times on the sets of scikit-learn, so that one percent is kept everywhere.
LARGEST_ERROR = 1e-3

Product = Callable[[SecondOrder], Response]
"""A product with second derivatives, as a function of the oracle."""


class Fitted(NamedTuple):
    """An oracle, and the factor of the automatic radius if it is that of finite differences."""

    oracle: Oracle
    factor: float


def initial_oracle(config: SolveConfig, *, differences_suit: bool) -> Oracle:
    """The oracle that a run begins with.

    Finite differences do not suit linear models, for which the exact oracle costs no more, nor relu: they cross its
    kinks, by chance, so that looking now and then does not find out (docs/errors.md).
    """
    if config.oracle != "auto":
        return config.oracle
    return "finite_difference" if differences_suit or config.radius is not None else "exact"


def configured_oracle(config: SolveConfig, fitted: Fitted) -> SecondOrder:
    """The oracle of the run. ``fitted`` says which where that is automatic."""
    oracle = fitted.oracle if config.oracle == "auto" else config.oracle
    return SecondOrder(oracle, config.radius, fitted.factor)


def certifying_oracle(config: SolveConfig, fitted: Fitted) -> SecondOrder:
    """What a hypergradient is compared with: the exact oracle, or twice the radius of finite differences."""
    if config.certify_against == "exact":
        return SecondOrder("exact")
    return configured_oracle(config, fitted._replace(factor=2 * fitted.factor))


def refitted(
    config: SolveConfig,
    iteration: int,
    fitted: Fitted,
    point: Point,
    upper_gradient: list[Var],
    response: Product,
) -> Fitted:
    """The oracle and its radius for the hypergradient after ``iteration`` iterations: ``fitted``, renewed where due."""
    exact = configured_oracle(config, fitted).oracle == "exact"
    due = iteration == FITTED_SOON or iteration % FITTED_EVERY == 0
    if exact or config.radius is not None or not due:
        return fitted
    return _fitted(config, response, point.objective, point.w, upper_gradient, None if iteration == 0 else fitted)


def first_fitted(
    config: SolveConfig, product: Product, objective: Objective, w: list[Var], p: list[Var], oracle: Oracle
) -> Fitted:
    """The radius for ``product`` along ``p`` at ``w``, before the first iteration, at an ``oracle`` that stays."""
    if oracle == "exact" or config.radius is not None:
        return Fitted(oracle, 1.0)
    return Fitted(oracle, _fitted(config, product, objective, w, p, None).factor)


def _fitted(
    config: SolveConfig, product: Product, objective: Objective, w: list[Var], p: list[Var], before: Fitted | None
) -> Fitted:
    """From the factor ``before`` or else from 1 and, if far away, that which moves no part of L w by its scale."""
    jt.sync([*w, *p])  # read in one go, as in every later call
    exact = detach(product(SecondOrder("exact")).hypergradient)

    @cache
    def error(factor: float) -> float:
        gap = float(relative_gap(exact, product(SecondOrder(factor=factor)).hypergradient).numpy()[0])
        return gap if math.isfinite(gap) else math.inf

    balanced = balanced_factor(w, objective.lift(w), p, objective.lift(p))
    starts = [1.0 if before is None else before.factor, *([] if 0.25 <= balanced <= 4 else [balanced])]
    best = min((_descended(error, start) for start in starts), key=error)
    worse = config.oracle == "auto" and error(best) > LARGEST_ERROR
    return Fitted("exact" if worse else "finite_difference", best)


def _descended(error: Callable[[float], float], factor: float) -> float:
    """``factor``, halved or doubled while that lowers the error."""
    scale = min((0.5, 2.0), key=lambda scale: error(factor * scale))
    for _ in range(FITTED_ROUNDS):
        if not error(factor * scale) < error(factor):
            break
        factor *= scale
    return factor


def relative_gap(a: list[Var], b: list[Var]) -> Var:
    """‖a − b‖ / ‖a‖, shape (1,); zero where both are."""
    gap = length([x - y for x, y in zip(a, b, strict=True)])
    norm = length(a)
    return gap / jt.maximum(norm, constant(float(np.finfo(str(norm.dtype)).tiny), norm))
