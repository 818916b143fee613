"""A stable lower step from the curvature of the lower loss, by power iteration on the oracle's Hessian product."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hposvc.bilevel.arrays import Arrays, Var, constant, detach, device_array, norm
from hposvc.bilevel.config import SolveConfig
from hposvc.bilevel.hypergradient import Objective, Point, Response, SecondOrder
from hposvc.bilevel.oracle import SMALLEST_NORM, Oracle
from hposvc.bilevel.radius import Fitted, configured_oracle, first_fitted
from hposvc.bilevel.runtime import jt

# The lower curvature is measured again this often: strengths change it as they move, by up to e^0.1 an iteration
# (solve.UPPER_STEP), and a step of 1/L is stable until L has doubled. So many products at first, and again.
CURVATURE_EVERY, CURVATURE_FIRST, CURVATURE_AGAIN = 5, 20, 2


class Curvature(NamedTuple):
    """The largest |eigenvalue| of H_ww, shape (1,), and the unit vector that it was measured along."""

    value: Var
    direction: list[Var]


class FirstCurvature(NamedTuple):
    """The first measurement, and the oracle that it was made with."""

    curvature: Curvature
    fitted: Fitted


def first_curvature(
    config: SolveConfig, objective: Objective, w: list[Var], lam: list[Var], oracle: Oracle
) -> FirstCurvature:
    """The curvature of ``objective`` at (w, λ), from a random direction; an automatic radius is fitted to it first."""
    direction = random_direction([a.numpy() for a in w], config.rng("direction"), str(w[0].dtype))
    point = Point(objective, w, constant(1.0, w[0]), objective.lift(w))

    def product(second_order: SecondOrder) -> Response:
        return Response(second_order.products(point, lam, direction, mixed=False, hessian=True).hessian, [])

    fitted = first_fitted(config, product, objective, w, direction, oracle)
    second_order = configured_oracle(config, fitted)
    return FirstCurvature(measured(objective, w, lam, direction, second_order, CURVATURE_FIRST), fitted)


def measured(
    objective: Objective, w: list[Var], lam: list[Var], direction: list[Var], second_order: SecondOrder, steps: int
) -> Curvature:
    """The curvature of ``objective`` at (w, λ) after ``steps`` products from ``direction``."""
    point = Point(objective, w, constant(1.0, w[0]), objective.lift(w))
    return power_iteration(point, lam, direction, second_order, steps)


def random_direction(w: Arrays, rng: np.random.Generator, dtype: str) -> list[Var]:
    """A unit vector shaped like w."""
    direction = [rng.normal(size=a.shape) for a in w]
    norm = np.sqrt(sum(float((a * a).sum()) for a in direction))
    return [device_array(a / norm, dtype) for a in direction]


def power_iteration(
    point: Point, lam: list[Var], direction: list[Var], second_order: SecondOrder, steps: int
) -> Curvature:
    """``steps`` products from ``direction``. The estimate ‖Hv‖ approaches the largest |eigenvalue| from below."""
    for _ in range(steps):
        image = second_order.products(point, lam, direction, mixed=False, hessian=True).hessian
        value = norm(image)
        scale = jt.maximum(value, constant(SMALLEST_NORM, value))
        direction = detach([a / scale for a in image])
        jt.sync([value, *direction])
    return Curvature(value.detach(), direction)


def stable_rate(curvature: Var, margin: float) -> Var:
    """margin/L: gradient descent contracts below 2/L. Where the loss is flat to rounding the rate is ``margin``·1e6."""
    return (constant(margin, curvature) / jt.maximum(curvature, constant(1e-6, curvature))).detach()
