"""How λ moves along the hypergradient: pure update rules over explicit moments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from hposvc.bilevel import fused
from hposvc.bilevel.arrays import Var, constant, length
from hposvc.bilevel.runtime import jt

UpperOptimizer = Literal["sgd", "momentum", "adam"]

BETA1, BETA2, MOMENTUM = 0.9, 0.999, 0.9

# Hypergradients of row weights scale as 1/n², so the usual 1e-8 would silence Adam on large sets.
ADAM_EPSILON = 1e-14


@dataclass(frozen=True)
class Schedule:
    """What a learning rate is multiplied by at iteration k = 0, 1, … of ``iterations``.

    ``constant``: 1. ``cosine``: from 1 to ``final`` along half a cosine. ``exponential``: from 1 to ``final``
    geometrically.
    """

    kind: Literal["constant", "cosine", "exponential"] = "constant"
    final: float = 0.01

    def __call__(self, k: int, iterations: int) -> float:
        """The factor at iteration ``k``."""
        done = min(k / max(iterations - 1, 1), 1.0)
        if self.kind == "cosine":
            return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))
        return self.final**done if self.kind == "exponential" else 1.0


CONSTANT = Schedule()


class Moments(NamedTuple):
    """The running averages of an optimizer, shaped like λ; unused ones are empty."""

    first: list[Var]
    second: list[Var]


def initial_moments(optimizer: UpperOptimizer, lam: list[Var]) -> Moments:
    """Zero moments, as many as ``optimizer`` keeps."""
    zeros = [jt.zeros_like(array) for array in lam]
    return Moments(zeros if optimizer != "sgd" else [], zeros if optimizer == "adam" else [])


def clip(h: list[Var], limit: float) -> list[Var]:
    """H scaled down to the norm ``limit`` where it is longer."""
    norm = length(h)
    bound = constant(limit, norm)
    scale = bound / jt.maximum(norm, bound)
    return [scale * array for array in h]


def update(
    optimizer: UpperOptimizer, lam: list[Var], h: list[Var], moments: Moments, *, rate: float, k: int
) -> tuple[list[Var], Moments]:
    """λ after one step against ``h``, and the moments after it; ``k`` = 1, 2, … counts steps.

    ``sgd``: λ − rate·h. ``momentum``: heavy ball, 0.9. ``adam``: Kingma and Ba (ICLR 2015).
    """
    if optimizer == "sgd":
        return [a - constant(rate, a) * g for a, g in zip(lam, h, strict=True)], moments
    if optimizer == "momentum":
        first = [constant(MOMENTUM, g) * m + g for m, g in zip(moments.first, h, strict=True)]
        return [a - constant(rate, a) * m for a, m in zip(lam, first, strict=True)], Moments(first, [])
    unbias1, unbias2 = 1 - BETA1**k, 1 - BETA2**k
    if fused.usable():
        settings = fused.AdamSettings(BETA1, 1 - BETA1, BETA2, 1 - BETA2, unbias2, rate / unbias1, ADAM_EPSILON)
        steps = [fused.adam(*arrays, settings) for arrays in zip(lam, h, *moments, strict=True)]
        return [step.moved for step in steps], Moments([step.first for step in steps], [step.second for step in steps])
    first = [_average(m, g, BETA1) for m, g in zip(moments.first, h, strict=True)]
    second = [_average(v, g * g, BETA2) for v, g in zip(moments.second, h, strict=True)]
    moved = []
    for a, m, v in zip(lam, first, second, strict=True):
        direction = m / (jt.sqrt(v / constant(unbias2, v)) + constant(ADAM_EPSILON, v))
        moved.append(a - constant(rate / unbias1, a) * direction)
    return moved, Moments(first, second)


def project(lam: list[Var], bounds: tuple[float, float]) -> list[Var]:
    """λ within its bounds."""
    lower, upper = bounds
    return [jt.minimum(jt.maximum(a, constant(lower, a)), constant(upper, a)) for a in lam]


def _average(mean: Var, value: Var, beta: float) -> Var:
    return constant(beta, mean) * mean + constant(1 - beta, value) * value
