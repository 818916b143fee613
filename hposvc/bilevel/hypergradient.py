"""Hypergradients of F(w(λ), λ), each a few lines on the second-order oracle.

The lower level is a sequence of steps, each differentiated as it was taken:

    m_{k+1} = μ m_k + ∇_w f_k(w_k, λ)        w_{k+1} = w_k − ξ_k m_{k+1}

The reverse recursion carries a, the derivative of F(w_K) with respect to w, and b, that with respect to m:

    c = b − ξ a;   h += H_λw(w_k) c;   a += H_ww(w_k) c;   b = μ c

which for μ = 0 is the familiar h −= ξ H_λw p, p −= ξ H_ww p. Counting only the last T steps truncates it; T = 1 is the
one-step estimator of DARTS, exact for one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from hposvc.bilevel import launches
from hposvc.bilevel.arrays import Var, constant, descended, detach, dot, squared_norm
from hposvc.bilevel.oracle import Move, Oracle, automatic_radius, directional_derivative, moved, step_sizes
from hposvc.bilevel.runtime import jt

Method = Literal["neumann", "cg"]


class Objective(NamedTuple):
    """A lower objective on fixed rows: f(w, λ) = loss(lift(w), λ) with ``lift`` linear.

    ``move`` makes lifted parameters apart from others, in a form of its own if ``loss`` takes one.
    """

    lift: Callable[[list[Var]], list[Var]]
    loss: Callable[[list[Any], list[Var]], Var]
    move: Move = moved


class Point(NamedTuple):
    """Where a lower step started: its objective, w there, and ξ, shape (1,)."""

    objective: Objective
    w: list[Var]
    rate: Var
    lifted: list[Var] | None  # L w, kept where only one step is differentiated; otherwise recomputed, to spare memory


class Step(NamedTuple):
    """What a lower step returns; ``point`` is where it was taken from."""

    point: Point
    w: list[Var]
    velocity: list[Var]
    loss: Var


class Products(NamedTuple):
    """H_λw p, and H_ww p where it was asked for."""

    mixed: list[Var]
    hessian: list[Var]


@dataclass(frozen=True)
class SecondOrder:
    """The oracle with its settings: ``radius`` None is automatic, times ``factor`` (which adapts)."""

    oracle: Oracle = "finite_difference"
    radius: float | None = None
    factor: float = 1.0

    def products(self, point: Point, lam: list[Var], p: list[Var], *, mixed: bool = True, hessian: bool) -> Products:
        """H_λw p and H_ww p of the point's objective at (point.w, λ)."""
        u = point.objective.lift(point.w) if point.lifted is None else point.lifted
        t = point.objective.lift(p)
        if self.radius is None:
            radius = automatic_radius(point.w, self.factor)
        else:
            radius = constant(self.radius * self.factor, p[0])
        along = directional_derivative(
            lambda lifted: point.objective.loss(lifted, lam),
            u,
            t,
            self.oracle,
            step_sizes(p, radius),
            point.objective.move,
        )
        wanted = [*(lam if mixed else []), *(point.w if hessian else [])]
        gradients = detach(jt.grad(along, wanted))
        split = len(lam) if mixed else 0
        return Products(gradients[:split], gradients[split:])


def lower_step(
    objective: Objective,
    w: list[Var],
    velocity: list[Var],
    lam: list[Var],
    rate: Var,
    *,
    momentum: Var | None,
    keep: bool,
) -> Step:
    """One step of SGD with heavy-ball momentum. ``keep`` keeps L w for the estimator."""
    lifted = objective.lift(w)
    loss = objective.loss(lifted, lam)
    gradient = detach(jt.grad(loss, w))
    if momentum is not None:
        gradient = [momentum * m + g for m, g in zip(velocity, gradient, strict=True)]
    moved = detach(descended(w, gradient, rate))
    point = Point(objective, w, rate, lifted if keep else None)
    return Step(point, moved, detach(gradient) if momentum is not None else [], loss.detach())


def aggregated(objective: Objective, upper: Objective, alpha: Var) -> Objective:
    """α f + (1 − α) F, the lower objective of gradient descent aggregation (R. Liu et al., ICML 2020)."""

    def lift(w: list[Var]) -> list[Var]:
        below, above = objective.lift(w), upper.lift(w)
        split.append(len(below))
        return [*below, *above]

    def loss(u: list[Var], lam: list[Var]) -> Var:
        below, above = u[: split[-1]], u[split[-1] :]
        return alpha * objective.loss(below, lam) + (constant(1.0, alpha) - alpha) * upper.loss(above, lam)

    split: list[int] = []
    return Objective(lift, loss)


class Response(NamedTuple):
    """dF/dλ through w, and dF/dw₀ where the start is a variable too."""

    hypergradient: list[Var]
    start: list[Var]


def unrolled(
    points: Sequence[Point],
    lam: list[Var],
    upper_gradient: list[Var],
    second_order: SecondOrder,
    *,
    momentum: Var | None = None,
    with_start: bool = False,
) -> Response:
    """Reverse through the lower steps that began at ``points``, the last of them first.

    ``upper_gradient`` is ∇_w F at the end of the steps. ``with_start`` goes on to dF/dw at the first point, which is
    what dynamic initialization descends (R. Liu et al., NeurIPS 2021). Memory holds the w of each point, not graphs.
    """
    h: list[Var] = []
    a, b = upper_gradient, [jt.zeros_like(array) for array in upper_gradient] if momentum is not None else []
    for k in reversed(range(len(points))):
        point = points[k]
        c = [y - point.rate * x for x, y in zip(a, b, strict=True)] if momentum is not None else _scaled(a, point.rate)
        further = k > 0 or with_start
        products = second_order.products(point, lam, c, hessian=further)
        h = detach([x + y for x, y in zip(h, products.mixed, strict=True)] if h else products.mixed)
        if further:
            a = detach([x + y for x, y in zip(a, products.hessian, strict=True)])
            if momentum is not None:
                b = detach([momentum * x for x in c])
            jt.sync([*a, *b, *h])  # one graph per step, so that memory does not grow with their number
    return Response(h, a if with_start else [])


def implicit(
    point: Point, lam: list[Var], upper_gradient: list[Var], second_order: SecondOrder, *, method: Method, terms: int
) -> Response:
    """−H_λw q with q ≈ H_ww⁻¹ ∇_w F at ``point``: the implicit function theorem, where ∇_w f = 0.

    ``neumann``: q = ξ Σ_{j < terms} (I − ξ H_ww)^j ∇_w F, for ξ ‖H_ww‖ < 2 (Lorraine, Vicol and Duvenaud, 2020).
    ``cg``: ``terms`` steps of conjugate gradient, for H_ww positive semidefinite (Pedregosa, 2016).
    """

    def hessian(q: list[Var]) -> list[Var]:
        return second_order.products(point, lam, q, mixed=False, hessian=True).hessian

    q = (
        _neumann(hessian, upper_gradient, point.rate, terms)
        if method == "neumann"
        else _cg(hessian, upper_gradient, terms)
    )
    mixed = second_order.products(point, lam, q, hessian=False).mixed
    return Response([-x for x in mixed], [])


def _neumann(hessian: Callable[[list[Var]], list[Var]], v: list[Var], rate: Var, terms: int) -> list[Var]:
    term, total = v, v
    for _ in range(terms - 1):
        term = detach([x - rate * y for x, y in zip(term, hessian(term), strict=True)])
        total = detach([x + y for x, y in zip(total, term, strict=True)])
        jt.sync([*term, *total])
    return [rate * x for x in total]


def _cg(hessian: Callable[[list[Var]], list[Var]], v: list[Var], terms: int) -> list[Var]:
    """Solve H q = v from q = 0, until the residual is as small as the error of finite differences, eps^(2/3).

    Beyond that, and along a direction without curvature, a step would follow rounding alone: it is left out.
    """
    q = [jt.zeros_like(x) for x in v]
    residual = direction = v
    squares = squared_norm(residual)
    smallest = squares * constant(float(np.finfo(str(squares.dtype)).eps) ** (4 / 3), squares)
    for _ in range(terms):
        image = hessian(direction)
        alpha = _ratio(squares, dot(direction, image)) * (squares > smallest)
        q = detach([x + alpha * y for x, y in zip(q, direction, strict=True)])
        residual = detach([x - alpha * y for x, y in zip(residual, image, strict=True)])
        renewed = squared_norm(residual)
        beta = _ratio(renewed, squares)
        direction = detach([x + beta * y for x, y in zip(residual, direction, strict=True)])
        squares = renewed.detach()
        jt.sync([*q, *residual, *direction, squares])
    return q


def _ratio(numerator: Var, denominator: Var) -> Var:
    """a/b for b > 0, and 0 elsewhere."""
    smallest = constant(float(np.finfo(str(denominator.dtype)).tiny), denominator)
    return numerator * (denominator > smallest) / jt.maximum(denominator, smallest)


def _scaled(a: list[Var], rate: Var) -> list[Var]:
    return launches.scaled(a, rate) if jt.flags.use_cuda else [-rate * x for x in a]
