"""Learning from labels that a noise matrix has changed: how often was a row of one class given the label of another?

    f(w, λ) = −(1/n) Σ_i log Σ_c q_c(x_i; w) T_λ[c, y_i] + (c/2)‖W‖²        F(w) = mean loss on trusted rows

T_λ[c, j] is the probability that a row of class c was given the label j: the forward correction of Patrini et al.
(2017, "Making Deep Neural Networks Robust to Label Noise", section 3.2), with the matrix tuned instead of estimated. λ
holds log T[c, j] / T[c, c] for every j ≠ c, k (k − 1) numbers; σ(λ) is the share of label j among the labels c and j
that rows of class c were given.

Where nobody knows which rows to trust, F is the same corrected loss on held-out rows: a proper score of the labels that
were given, so that it is lowest in expectation at the true T.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hposvc.bilevel import fused
from hposvc.bilevel.arrays import Arrays, Var, constant, mean, squared_norm
from hposvc.bilevel.losses import log_sum_exp
from hposvc.bilevel.models import Kept
from hposvc.bilevel.problem import Batch, Supervised, UpperValue
from hposvc.bilevel.runtime import jt


@dataclass(frozen=True, eq=False, kw_only=True)
class NoiseMatrixProblem(Supervised):
    """The noise matrix as λ, from ``start`` (k, k), whose rows sum to 1.

    ``upper_noisy`` says that the upper and selection rows have labels that were not checked, too.
    """

    start: NDArray[np.float64] = field(default_factory=lambda: np.eye(2))
    upper_noisy: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_classes is None or self.start.shape != (self.n_classes, self.n_classes):
            raise ValueError("a noise matrix needs classes, and a row and a column for each of them")

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The class c and the label j of each entry of λ."""
        return [(c, j) for c in range(self.n_outputs) for j in range(self.n_outputs) if j != c]

    def initial_lambda(self) -> Arrays:
        """Log T[c, j] / T[c, c] of ``start``."""
        noise = np.maximum(self.start, 1e-6)
        return [np.array([np.log(noise[c, j] / noise[c, c]) for c, j in self.pairs])]

    def noise_matrix(self, lam: Arrays) -> NDArray[np.float64]:
        """T (k, k) at λ."""
        logits = np.zeros((self.n_outputs, self.n_outputs))
        logits[tuple(np.transpose(self.pairs))] = np.asarray(lam[0], dtype=np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        noise: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
        return noise

    def lower_loss(self, u: list[Var], lam: list[Var], batch: Batch) -> Var:
        """The mean corrected loss of the batch."""
        loss = mean(self._corrected(u, lam, batch.targets, batch.kept))
        return loss + self.decay(u) if self.weight_decay else loss

    def upper(self, w: list[Var], lam: list[Var]) -> UpperValue:
        """The mean loss on the upper rows, corrected where their labels were not checked, with shrinkage."""
        if not self.upper_noisy:
            return super().upper(w, lam)
        rows = self._upper
        u = self.model.lift(w, rows.features)
        loss = mean(self._corrected(u, lam, rows.targets))
        if self.shrinkage:
            moved = [a - b for a, b in zip(lam, self._start, strict=True)]
            loss = loss + constant(self.shrinkage, loss) * squared_norm(moved)
        return UpperValue(loss, mean(self.model.outputs(u).correct(rows.targets)).stop_grad())

    def selection_loss(self, w: list[Var], lam: list[Var]) -> Var | None:
        """The mean loss on the selection rows; none where labels were not checked, since the score needs λ, too."""
        return None if self.upper_noisy else super().selection_loss(w, lam)

    def _corrected(self, u: list[Var], lam: list[Var], targets: Var, kept: Kept = ()) -> Var:
        """−log Σ_c q_c T[c, y] of each row, (n,)."""
        if fused.usable():
            u = [u[0], *fused.as_arrays(u[1:])]
        logits = self.model.outputs(u, kept).total()
        log_noise = self._log_noise(lam[0])
        return log_sum_exp(logits) - log_sum_exp(logits + log_noise.transpose()[targets])

    def _log_noise(self, lam: Var) -> Var:
        """Log T (k, k)."""
        zero = jt.zeros([1], lam.dtype)
        logits = jt.concat([lam, zero], 0)[self._places]
        return logits - log_sum_exp(logits).reshape([-1, 1])

    @cached_property
    def _places(self) -> Var:
        """Where each entry of the matrix stands in λ, (k, k); the diagonal behind its end, where a zero is put."""
        places = np.full((self.n_outputs, self.n_outputs), len(self.pairs), dtype=np.int32)
        places[tuple(np.transpose(self.pairs))] = np.arange(len(self.pairs))
        return jt.array(places)
