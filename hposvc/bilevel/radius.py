"""The automatic radius of finite differences: fitted at the first iteration, and adapted every hundredth.

The perturbation has the norm ``factor`` · c · eps^(1/3) · (1 + ‖w‖) (:func:`hposvc.bilevel.oracle.automatic_radius`).
Truncation grows with the square of the radius and rounding falls with it; the factor is halved or doubled until both
balance, which shows in how the product changes between half the radius and twice the radius.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from hposvc.bilevel.arrays import Var, constant, detach, squared_norm
from hposvc.bilevel.config import SolveConfig
from hposvc.bilevel.hypergradient import Objective, Point, Response, SecondOrder
from hposvc.bilevel.oracle import balanced_factor
from hposvc.bilevel.runtime import jt

# The automatic radius is adapted this often, and at the first iteration until it is balanced.
RADIUS_EVERY, RADIUS_ROUNDS = 100, 8

Product = Callable[[SecondOrder], Response]
"""A product with second derivatives, as a function of the oracle."""


def configured_oracle(config: SolveConfig, factor: float) -> SecondOrder:
    """The oracle of the run, at ``factor`` times its radius."""
    return SecondOrder(config.oracle, config.radius, factor)


def certifying_oracle(config: SolveConfig, factor: float) -> SecondOrder:
    """What a hypergradient at ``factor`` is compared with: twice its radius, or the exact oracle."""
    if config.certify_against == "exact":
        return SecondOrder("exact")
    return configured_oracle(config, 2 * factor)


def radius_factor(
    config: SolveConfig,
    iteration: int,
    factor: float,
    point: Point,
    upper_gradient: list[Var],
    response: Product,
) -> float:
    """The factor of the radius for the hypergradient after ``iteration`` iterations: ``factor``, adapted where due."""
    if config.oracle == "exact" or config.radius is not None or iteration % RADIUS_EVERY:
        return factor
    if iteration:
        return _adapted(response, factor, 1).factor
    return fitted_factor(response, point.objective, point.w, upper_gradient)


def fitted_factor(product: Product, objective: Objective, w: list[Var], p: list[Var]) -> float:
    """The factor to begin with, for ``product`` along ``p`` at ``w``.

    Adapted from 1 and, where that is far away, from the factor that moves no part of L w by more than its scale.
    """
    jt.sync([*w, *p])  # read in one go, as in every later call
    balanced = balanced_factor(w, objective.lift(w), p, objective.lift(p))
    starts = (1.0,) if 0.25 <= balanced <= 4 else (1.0, balanced)
    return min((_adapted(product, start, RADIUS_ROUNDS) for start in starts), key=lambda found: found.gap).factor


class _Radius(NamedTuple):
    """A factor of the automatic radius, and how much the product changes at half or twice that radius."""

    factor: float
    gap: float


def _adapted(product: Product, factor: float, rounds: int) -> _Radius:
    """The radius factor, halved or doubled until truncation and rounding balance.

    Between r/2, r and 2r the product changes by a quarter as much on the narrow side where truncation (∝ r²) rules, and
    by twice as much where rounding (∝ 1/r) does.
    """

    @cache  # a factor and its double have two of three radii in common
    def at(factor: float) -> list[Var]:
        return detach(product(SecondOrder(factor=factor)).hypergradient)

    gap = math.inf
    for _ in range(rounds):
        narrow, middle, wide = (at(factor * scale) for scale in (0.5, 1.0, 2.0))
        below, above = (float(relative_gap(middle, other).numpy()[0]) for other in (narrow, wide))
        if not (math.isfinite(below) and math.isfinite(above)):
            break
        gap = max(below, above)
        if gap > 0 and below < 0.35 * above:
            factor *= 0.5
        elif gap > 0 and below > 1.4 * above:
            factor *= 2.0
        else:
            break
    return _Radius(factor, gap)


def relative_gap(a: list[Var], b: list[Var]) -> Var:
    """‖a − b‖ / ‖a‖, shape (1,); zero where both are."""
    gap = jt.sqrt(squared_norm([x - y for x, y in zip(a, b, strict=True)]))
    norm = jt.sqrt(squared_norm(a))
    return gap / jt.maximum(norm, constant(float(np.finfo(str(norm.dtype)).tiny), norm))
