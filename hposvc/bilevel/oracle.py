"""Second-order products of a loss along a direction, by one idea in two forms.

For f(w, λ) and a direction p shaped like w, both products that bilevel optimization needs are the gradient of the
directional derivative D_p f:

    H_ww p = ∇_w D_p f(w, λ)        H_λw p = ∇_λ D_p f(w, λ)

- ``exact``: D_p f = ⟨∇_w f, p⟩, so its gradient is double backward (Pearlmutter, 1994).
- ``finite_difference``: D_p f ≈ (f(w + ηp, λ) − f(w − ηp, λ)) / 2η with η = r/‖p‖ (Liu, Simonyan and Yang, DARTS,
  ICLR 2019), so its gradient is the difference of two gradients, and only of those asked for: when only λ is,
  no backward pass through the model is run at all.

With f = φ ∘ L (see :mod:`hposvc.bilevel.problem`) the difference is taken at ``L w ± η L p``: w itself is never moved,
the products with the data for w are those that the lower step already made, and H_ww p runs one transposed product
for the difference instead of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from hposvc.bilevel import launches
from hposvc.bilevel.arrays import Var, constant, dot, in_one_launch, length, squared_norm
from hposvc.bilevel.fused import differentiable_twice
from hposvc.bilevel.runtime import jt

Oracle = Literal["finite_difference", "exact"]
Lifted = Callable[[list[Any]], Var]
"""φ(·, λ): the loss at lifted parameters, with everything else fixed."""

Move = Callable[[list[Var], list[Var], Var], list[Any]]

# Truncation falls with η² and rounding grows with 1/η, so the best radius is of the order of eps^(1/3).
RADIUS_FACTOR = 0.5

# Squares of anything below this vanish in float32, so no smaller norm can be told from zero.
SMALLEST_NORM = 1e-18


def automatic_radius(w: list[Var], factor: float = 1.0) -> Var:
    """R = c · eps^(1/3) · (1 + ‖w‖): a perturbation norm on the scale of the weights, shape (1,)."""
    eps = float(np.finfo(str(w[0].dtype)).eps)
    return length(w, factor * RADIUS_FACTOR * eps ** (1 / 3), offset=1).stop_grad()


def balanced_factor(w: list[Var], u: list[Var], p: list[Var], t: list[Var]) -> float:
    """The factor of the automatic radius that moves no part of ``u`` = L w by more than c · eps^(1/3) of its scale.

    1 + ‖w‖ alone knows nothing of the scale of the data, nor of parts of w that p moves more than others. ``t`` = L p.
    """
    moved = max(_root_mean_square(b) / (1 + _root_mean_square(a)) for a, b in zip(u, t, strict=True))
    norm, scale = (math.sqrt(float(squared_norm(arrays).numpy()[0])) for arrays in (p, w))
    factor = norm / (moved * (1 + scale)) if moved else 1.0
    return factor if 0 < factor < math.inf else 1.0


def _root_mean_square(array: Var) -> float:
    return math.sqrt(float(squared_norm([array]).numpy()[0]) / array.numel())


def moved(u: list[Var], t: list[Var], step: Var) -> list[Var]:
    """The sum u + step · t, array by array."""
    return [a + step * b for a, b in zip(u, t, strict=True)]


def directional_derivative(
    loss: Lifted, u: list[Var], t: list[Var], oracle: Oracle, steps: tuple[Var, Var], move: Move = moved
) -> Var:
    """D_p f, shape (1,), to be differentiated. ``u`` = L w and ``t`` = L p; ``steps`` are η and −η, for differences.

    ``move`` makes u ± ηt, in a form of its own if the loss takes one.
    """
    if oracle == "exact":
        apart = [a.clone() for a in u]  # L w contains w beside X W: the partial derivatives of φ must not mix them
        with differentiable_twice():
            return dot(jt.grad(loss(apart), apart), t)
    ahead, behind = (loss(move(u, t, each)) for each in steps)
    step, _ = steps
    return launches.difference(ahead, behind, step) if in_one_launch() else (ahead - behind) / (step + step)


def step_sizes(p: list[Var], radius: Var) -> tuple[Var, Var]:
    """η = r/‖p‖ and −η, shape (1,) each. The floor keeps η finite: p = 0 then gives a product of exactly zero."""
    if in_one_launch():
        return launches.quotient_by_length(radius, p, SMALLEST_NORM)
    norm = length(p)
    step = (radius / jt.maximum(norm, constant(SMALLEST_NORM, norm))).stop_grad()
    return step, -step
