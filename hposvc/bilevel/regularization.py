"""Regularization tuning: how strongly should each part of a model be penalized?

    f(w, λ) = mean training loss + ½ Σ_g e^{λ_g} ‖w_g‖²        F(w) = mean validation loss

λ holds logarithms of strengths. Biases are never penalized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hposvc.bilevel.models import Arrays, Var, constant
from hposvc.bilevel.problem import Batch, Supervised, dot, mean
from hposvc.bilevel.runtime import jt

Per = Literal["feature", "model", "layer", "parameter"]


@dataclass(frozen=True, eq=False, kw_only=True)
class RegularizationProblem(Supervised):
    """One L2 strength per input ``feature``, for the whole ``model``, per ``layer`` or per ``parameter`` (weight).

    λ by granularity, for weight matrices W₀ … W_{L−1}:

    - ``model``: one array (1,); ``layer``: one array (L,); ``parameter``: L arrays shaped like the matrices.
    - ``feature``: an array (d,) for the rows of W₀, and one (L−1,) for the deeper layers of a network.
    """

    per: Per = "feature"
    initial: float = -4.0

    def initial_lambda(self) -> Arrays:
        """``initial`` everywhere."""
        return [np.full(shape, float(self.initial)) for shape in self.shapes()]

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the arrays of λ."""
        weights = [w.shape for w in self.initial_w(np.random.default_rng(0))[::2]]
        if self.per == "parameter":
            return weights
        if self.per == "feature":
            if weights[0][0] != self.train[0].shape[1]:
                raise ValueError("per: feature needs a model with a weight for each feature, which a CNN is not")
            return [(weights[0][0],), *([(len(weights) - 1,)] if len(weights) > 1 else [])]
        return [(len(weights) if self.per == "layer" else 1,)]

    def names(self, feature_names: Sequence[str]) -> list[list[str]]:
        """A name for every entry of λ, array by array, in the order of its elements."""
        layers = [f"layer {i}" for i in range(len(self.initial_w(np.random.default_rng(0))) // 2)]
        if self.per == "model":
            return [["model"]]
        if self.per == "layer":
            return [layers]
        if self.per == "feature":
            return [list(feature_names), *([layers[1:]] if len(layers) > 1 else [])]
        named = []
        for layer, (rows, columns) in enumerate(self.shapes()):
            sources = self.model.row_names(layer, rows, feature_names)
            named.append([f"{source} → layer {layer} unit {j}" for source in sources for j in range(columns)])
        return named

    def lower_loss(self, u: list[Var], lam: list[Var], batch: Batch) -> Var:
        """The mean loss of the batch and the penalty on all of w."""
        loss = mean(self.row_losses(u, batch.targets, batch.kept)) + self.penalty(u[1::2], lam)
        return loss + self.decay(u) if self.weight_decay else loss

    def penalty(self, weights: list[Var], lam: list[Var]) -> Var:
        """½ Σ_g e^{λ_g} ‖w_g‖² over the weight matrices, shape (1,)."""
        half = constant(0.5, weights[0])
        strengths, squares = zip(*self._grouped(weights, lam), strict=True)
        return half * dot([jt.exp(logs) for logs in strengths], list(squares))

    def _grouped(self, weights: list[Var], lam: list[Var]) -> list[tuple[Var, Var]]:
        """λ beside the squared norms ‖w_g‖² of its groups, array by array."""
        squares = [w * w for w in weights]
        if self.per == "parameter":
            return list(zip(lam, squares, strict=True))
        if self.per == "feature":
            first = [(lam[0], squares[0].sum(1))]
            return first + ([(lam[1], _sums(squares[1:]))] if len(squares) > 1 else [])
        sums = _sums(squares)
        return [(lam[0], sums if self.per == "layer" else sums.sum())]


def _sums(arrays: list[Var]) -> Var:
    return jt.concat([array.sum() for array in arrays], 0)
