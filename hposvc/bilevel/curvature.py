"""A stable lower step from the curvature of the lower loss, by power iteration on the oracle's Hessian product."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hposvc.bilevel.hypergradient import Point, SecondOrder, detach
from hposvc.bilevel.models import Arrays, Var, constant, device_array
from hposvc.bilevel.oracle import SMALLEST_NORM
from hposvc.bilevel.problem import Precision, squared_norm
from hposvc.bilevel.runtime import jt


class Curvature(NamedTuple):
    """The largest |eigenvalue| of H_ww, shape (1,), and the unit vector that it was measured along."""

    value: Var
    direction: list[Var]


def random_direction(w: Arrays, rng: np.random.Generator, dtype: Precision) -> list[Var]:
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
        value = jt.sqrt(squared_norm(image))
        scale = jt.maximum(value, constant(SMALLEST_NORM, value))
        direction = detach([a / scale for a in image])
        jt.sync([value, *direction])
    return Curvature(value.detach(), direction)


def stable_rate(curvature: Var, margin: float) -> Var:
    """margin/L: gradient descent contracts below 2/L. Where the loss is flat to rounding the rate is ``margin``·1e6."""
    return (constant(margin, curvature) / jt.maximum(curvature, constant(1e-6, curvature))).detach()
