"""What a wrong answer costs: the loss of each row, which all levels of a problem and its refits share.

A loss maps outputs (n, k) and targets, which are labels (n,) or numbers (n, 1), to one number per row, (n,). Levels
take plain means of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hposvc.bilevel import fused
from hposvc.bilevel.arrays import Var, constant, device_array
from hposvc.bilevel.models import Outputs
from hposvc.bilevel.runtime import jt


class Loss(Protocol):
    """The loss of each row, shape (n,), from outputs (n, k) and targets: labels (n,), or the one column of a number."""

    def __call__(self, outputs: Outputs, targets: Var) -> Var:
        """Differentiable in the outputs."""


@dataclass(frozen=True)
class CrossEntropy:
    """−s_c log softmax(logits)[c] of a row of class c. ``class_weights`` are the s_c, one per class; 1 by default."""

    class_weights: tuple[float, ...] | None = None

    def __call__(self, outputs: Outputs, targets: Var) -> Var:
        """The loss of each row, shape (n,)."""
        losses = fused.cross_entropy(*outputs, targets)
        if self.class_weights is None:
            return losses
        return device_array(np.array(self.class_weights), str(losses.dtype))[targets] * losses


@dataclass(frozen=True)
class SquaredError:
    """(prediction − target)²."""

    def __call__(self, outputs: Outputs, targets: Var) -> Var:
        """The loss of each row, shape (n,)."""
        residual = outputs.total() - targets
        return (residual * residual).sum(1)


@dataclass(frozen=True)
class Huber:
    """r² for residuals |r| ≤ δ and 2δ|r| − δ² beyond: the squared error of the many, the absolute error of outliers.

    Twice the function of Huber (1964), so that it grows into the squared error with ``delta``, in units of the targets.
    """

    delta: float = 1.0

    def __call__(self, outputs: Outputs, targets: Var) -> Var:
        """The loss of each row, shape (n,)."""
        residual = outputs.total() - targets
        delta = constant(self.delta, residual)
        clipped = jt.minimum(jt.maximum(residual, -delta), delta)
        return (clipped * (residual + residual - clipped)).sum(1)


def default_loss(n_classes: int | None) -> Loss:
    """Cross-entropy for classes, squared error for numbers."""
    return SquaredError() if n_classes is None else CrossEntropy()


def log_sum_exp(logits: Var) -> Var:
    """Log Σ_c e^{z_c} of each row of ``logits`` (n, k), shape (n,)."""
    top = logits.max(1, keepdims=True).stop_grad()
    return jt.log(jt.exp(logits - top).sum(1)) + top.reshape([-1])
