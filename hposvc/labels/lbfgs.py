"""Several functions minimized at once by L-BFGS (Nocedal, 1980), each with its own steps.

The models of a cross-validation share their data: one product with it serves all of them, and what a step costs beside
products is paid once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MEMORY = 10
SUFFICIENT = 1e-4
"""The share of the decrease promised by the slope with which a step is taken (Armijo)."""

MOST_TRIALS = 20
"""Lengths that are tried in one step."""


class _Pair(NamedTuple):
    """Changes of the parameters and of the gradient in one step, (functions, p), and 1 / their product, or 0."""

    s: Floats
    y: Floats
    rho: Floats


def minimize_each(
    objective: Callable[[Floats], tuple[Floats, Floats]], start: Floats, *, steps: int, gtol: float, ftol: float
) -> Floats:
    """Minimize each function of its own row of parameters, (functions, p), from ``start``, in at most ``steps`` steps.

    ``objective`` gives all values (functions,) and gradients (functions, p). A function ends when no entry of its
    gradient is above ``gtol``, or a step lowers it by less than ``ftol``, relative where it is above 1.
    """
    x = start
    value, gradient = objective(x)
    active = np.abs(gradient).max(1) > gtol
    pairs: list[_Pair] = []
    for _ in range(steps):
        if not active.any():
            break
        direction = _direction(gradient, pairs)
        slope = _dot(gradient, direction)
        length = active.astype(np.float64)
        if not pairs:
            length /= np.maximum(1, np.sqrt(-slope))
        for _ in range(MOST_TRIALS):
            moved = x + length[:, None] * direction
            new_value, new_gradient = objective(moved)
            enough = new_value <= value + SUFFICIENT * length * slope
            if enough.all():
                break
            bent = 2 * (new_value - value - length * slope)  # the parabola through both values and the slope
            shrunk = np.clip(-length * slope / np.maximum(bent, 1e-300), 0.1, 0.5) * length
            length = np.where(enough, length, shrunk)
        active &= enough
        moved, new_gradient = (
            np.where(enough[:, None], new, old) for new, old in ((moved, x), (new_gradient, gradient))
        )
        new_value = np.where(enough, new_value, value)
        pairs = [*pairs, _pair(moved - x, new_gradient - gradient)][-MEMORY:]
        size = np.maximum(np.maximum(np.abs(value), np.abs(new_value)), 1)
        active &= (np.abs(new_gradient).max(1) > gtol) & (value - new_value > ftol * size)
        x, value, gradient = moved, new_value, new_gradient
    return x


def _direction(gradient: Floats, pairs: list[_Pair]) -> Floats:
    """Minus the inverse curvature, as the ``pairs`` know it, times the gradient."""
    q, alphas = -gradient, []
    for pair in reversed(pairs):
        alpha = pair.rho * _dot(pair.s, q)
        q = q - alpha[:, None] * pair.y
        alphas.append(alpha)
    scale = np.ones(len(gradient))
    for pair in pairs:  # of the last step that told of curvature
        scale = np.where(pair.rho > 0, 1 / np.maximum(pair.rho * _dot(pair.y, pair.y), 1e-300), scale)
    q = q * scale[:, None]
    for pair, alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + (alpha - pair.rho * _dot(pair.y, q))[:, None] * pair.s
    return q


def _pair(s: Floats, y: Floats) -> _Pair:
    product = _dot(s, y)
    rho = np.where(product > 1e-10 * _dot(y, y), 1 / np.maximum(product, 1e-300), 0.0)
    return _Pair(s, y, rho)


def _dot(a: Floats, b: Floats) -> Floats:
    products: Floats = np.einsum("fp,fp->f", a, b)
    return products
