"""Data reweighting: how much should each training row, class or group of rows count?

    f(w, λ) = (1/n) Σ σ(λ_g(i)) ℓ_i(w) + (c/2)‖W‖²        F(w) = mean loss on trusted rows

λ holds one logit per row, class or group; σ is the logistic function, so weights stay within (0, 1) and start at 1/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hposvc.bilevel.arrays import Arrays, Var, weighted_mean
from hposvc.bilevel.problem import Batch, Supervised
from hposvc.bilevel.runtime import jt


@dataclass(frozen=True, eq=False, kw_only=True)
class ReweightingProblem(Supervised):
    """One weight per training ``row``, ``class`` or ``group``; ``upper_rows`` are the rows that can be trusted.

    ``row_groups`` (n,) are the groups of the training rows, counted from 0, and needed for ``per`` group only.
    ``initial`` is where every λ starts, or one number for each.
    """

    per: Literal["row", "class", "group"] = "row"
    row_groups: NDArray[np.int64] | None = None
    initial: float | NDArray[np.float64] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.row_groups is None) == (self.per == "group"):
            raise ValueError("per='group' needs row_groups, the group of each training row, and only it")

    @property
    def groups(self) -> NDArray[np.int64]:
        """Which entry of λ each training row takes, shape (n,)."""
        if self.row_groups is not None:
            return self.row_groups
        return np.arange(self.lower_rows) if self.per == "row" else self.train[1].astype(np.int64)

    def initial_lambda(self) -> Arrays:
        """``initial``; 0 is a weight of one half."""
        size = self.n_outputs if self.per == "class" else int(self.groups.max()) + 1
        return [np.broadcast_to(np.asarray(self.initial, dtype=np.float64), (size,)).copy()]

    def row_weights(self, lam: Arrays) -> NDArray[np.float64]:
        """σ(λ) of each training row, shape (n,)."""
        logits = np.asarray(lam[0], dtype=np.float64)[self.groups]
        weights: NDArray[np.float64] = 0.5 * (1 + np.tanh(logits / 2))
        return weights

    def lower_loss(self, u: list[Var], lam: list[Var], batch: Batch) -> Var:
        """The mean weighted loss of the batch."""
        losses = self.row_losses(u, batch.targets, batch.kept)
        loss = weighted_mean(self._weights(lam[0], batch.rows), losses)
        return loss + self.decay(u) if self.weight_decay else loss

    def _weights(self, lam: Var, rows: Var | None) -> Var:
        if self.per != "row":
            groups = self._groups if rows is None else self._groups[rows]
            return jt.sigmoid(lam)[groups]
        return jt.sigmoid(lam if rows is None else lam[rows])

    @cached_property
    def _groups(self) -> Var:
        return jt.array(self.groups.astype(np.int32))
