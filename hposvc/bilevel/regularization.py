"""Regularization tuning: how strongly should each part of a model be penalized?

    f(w, λ) = mean training loss + Σ_g e^{λ_g} Σ_{j ∈ g} ρ(w_j)        F(w) = mean validation loss

    l2:  ρ(w) = ½ w²        l1:  ρ(w) = √(w² + ε²) − ε        elastic_net: both, each with a λ of its own

λ holds logarithms of strengths. Biases are never penalized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal

import numpy as np

from hposvc.bilevel.arrays import Arrays, Var, constant, mean
from hposvc.bilevel.fused import Moved, as_array
from hposvc.bilevel.problem import Batch, Supervised
from hposvc.bilevel.runtime import jt

Per = Literal["feature", "model", "layer", "parameter"]
Penalty = Literal["l2", "l1", "elastic_net"]

PARTS: dict[Penalty, tuple[Literal["l2", "l1"], ...]] = {"l2": ("l2",), "l1": ("l1",), "elastic_net": ("l2", "l1")}

EPSILON = 1e-2
"""ε of the smoothed l1: a hundredth of what a weight on a standardized feature can matter.

|w| has no curvature but at 0, where it has no derivative, so λ would not move the weights that it holds there. The
smoothed one curves by 1/ε at 0: a smaller ε would need a smaller lower step, and a radius that float32 cannot resolve.
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class RegularizationProblem(Supervised):
    """One strength per input ``feature``, for the whole ``model``, per ``layer`` or per ``parameter`` (weight).

    λ by granularity, for weight matrices W₀ … W_{L−1}; an ``elastic_net`` has them twice, for l2 and then for l1:

    - ``model``: one array (1,); ``layer``: one array (L,); ``parameter``: L arrays shaped like the matrices.
    - ``feature``: an array (d,) for the rows of W₀, and one (L−1,) for the deeper layers of a network.
    """

    per: Per = "feature"
    penalty: Penalty = "l2"
    initial: float = -4.0

    @property
    def parts(self) -> tuple[Literal["l2", "l1"], ...]:
        """The penalties that the arrays of λ belong to: an equal number of arrays each, in this order."""
        return PARTS[self.penalty]

    def initial_lambda(self) -> Arrays:
        """``initial`` everywhere."""
        return [np.full(shape, float(self.initial)) for shape in self.shapes()]

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the arrays of λ."""
        return self._shapes() * len(self.parts)

    def _shapes(self) -> list[tuple[int, ...]]:
        weights = [w.shape for w in self.initial_w(np.random.default_rng(0))[::2]]
        if self.per == "parameter":
            return weights
        if self.per == "feature":
            if weights[0][0] != self.train[0].shape[1]:
                raise ValueError("per: feature needs a model with a weight for each feature, which a CNN is not")
            return [(weights[0][0],), *([(len(weights) - 1,)] if len(weights) > 1 else [])]
        return [(len(weights) if self.per == "layer" else 1,)]

    def names(self, feature_names: Sequence[str]) -> list[list[str]]:
        """A name for every entry of the λ of one penalty, array by array, in the order of its elements."""
        layers = [f"layer {i}" for i in range(len(self.initial_w(np.random.default_rng(0))) // 2)]
        if self.per == "model":
            return [["model"]]
        if self.per == "layer":
            return [layers]
        if self.per == "feature":
            return [list(feature_names), *([layers[1:]] if len(layers) > 1 else [])]
        named = []
        for layer, (rows, columns) in enumerate(self._shapes()):
            sources = self.model.row_names(layer, rows, feature_names)
            named.append([f"{source} → layer {layer} unit {j}" for source in sources for j in range(columns)])
        return named

    def lower_loss(self, u: list[Var], lam: list[Var], batch: Batch) -> Var:
        """The mean loss of the batch and the penalty on all of w."""
        loss = mean(self.row_losses(u, batch.targets, batch.kept)) + self.regularizer(u[1::2], lam)
        return loss + self.decay(u) if self.weight_decay else loss

    def regularizer(self, weights: list[Var], lam: list[Var]) -> Var:
        """Σ_g e^{λ_g} Σ_{j ∈ g} ρ(w_j) over the weight matrices, (1,). Of moved ones, what the move adds to it."""
        groups = []
        for part in self.parts:
            factor, rho = RHO[part]
            groups += [constant(factor, sums) * sums for sums in self._grouped([rho(w) for w in weights])]
        terms = [jt.exp(logs) * sums for logs, sums in zip(lam, groups, strict=True)]
        # Jittor cannot compile some gradients of the sum of a lone number.
        return reduce(add, [term if list(term.shape) == [1] else term.sum() for term in terms])

    def _grouped(self, values: list[Var]) -> list[Var]:
        """Sums over the groups of λ of values shaped like the weight matrices, shaped like the λ of one penalty."""
        if self.per == "parameter":
            return values
        if self.per == "feature":
            return [values[0].sum(1), *([_sums(values[1:])] if len(values) > 1 else [])]
        sums = _sums(values)
        return [sums if self.per == "layer" or len(values) == 1 else sums.sum()]


def square(w: Var | Moved) -> Var:
    """w². Of a moved weight, how much larger the move makes it: the difference of two squares would be lost in them."""
    if isinstance(w, Moved):
        move = w.step * w.along
        return move * (w.base + w.base + move)
    return w * w


def smooth_absolute(w: Var | Moved) -> Var:
    """√(w² + ε²) − ε, written as a quotient because the difference cancels where |w| is small; so for a moved one."""
    if isinstance(w, Moved):
        return square(w) / (_root(as_array(w)) + _root(w.base))
    return w * w / (_root(w) + constant(EPSILON, w))


def _root(w: Var) -> Var:
    epsilon = constant(EPSILON, w)
    return jt.sqrt(w * w + epsilon * epsilon)


RHO = {"l2": (0.5, square), "l1": (1.0, smooth_absolute)}
"""ρ as a factor and a function: a sum of plain squares rounds less, being one of fused multiply-adds."""


def _sums(arrays: list[Var]) -> Var:
    return jt.concat([array.sum() for array in arrays], 0)
