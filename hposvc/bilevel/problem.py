"""What a bilevel problem is, and what the two supervised kinds share.

    min over λ of  F(w(λ), λ),    w(λ) = argmin over w of f(w, λ)

A problem states its lower loss as ``f(w, λ) = φ(L w, λ)`` with ``L`` linear (:meth:`BilevelProblem.lift`). Every
second-order product along a direction p then needs ``L p`` once and nothing else of p. Where there is no such
structure, L is the identity.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hposvc.bilevel import fused
from hposvc.bilevel.arrays import Arrays, Precision, Var, constant, device_array, mean, squared_norm
from hposvc.bilevel.losses import CrossEntropy, Huber, Loss, SquaredError, default_loss
from hposvc.bilevel.models import Kept, Linear, Model
from hposvc.bilevel.runtime import jt

Rows = tuple[NDArray[Any], NDArray[Any]]
"""Features (n, d) and targets (n,): class indices (integers) or numbers (floats)."""


class Batch(NamedTuple):
    """Rows of the lower level on the device. ``rows`` (m,) are their indices, or None for all of them in order.

    ``kept`` are the units that dropout keeps. They belong to the batch, so that one lower step and everything that
    differentiates it see the same ones: fresh ones at w + ηp and w − ηp would drown their difference (docs/solver.md).
    """

    features: Var
    targets: Var
    rows: Var | None
    kept: Kept = ()


class UpperValue(NamedTuple):
    """The upper loss F that is differentiated, and the score that a person reads (accuracy or R²), if there is one.

    ``reads_lambda`` is whether the loss depends on λ other than through w.
    """

    loss: Var
    score: Var | None
    reads_lambda: bool = True


AggregatedLoss = Callable[[list[Var], list[Var], Any, Var], Var]
"""(w, λ, lower batch, α of shape (1,)) ↦ a scalar of shape (1,)."""


class BilevelProblem(Protocol):
    """What :func:`hposvc.bilevel.solve` needs. w and λ are lists of arrays; losses are scalars of shape (1,)."""

    @property
    def dtype(self) -> Precision:
        """The precision of every array."""

    @property
    def lower_rows(self) -> int:
        """How many rows the lower level has, for mini-batches."""

    def initial_w(self, rng: np.random.Generator) -> Arrays:
        """Where the lower level starts."""

    def initial_lambda(self) -> Arrays:
        """Where the upper level starts."""

    @property
    def stochastic(self) -> bool:
        """Whether lower steps on the same rows differ."""

    @property
    def convex(self) -> bool:
        """Whether f is convex in w."""

    @property
    def smooth(self) -> bool:
        """Whether f has second derivatives everywhere, but for the kinks of a loss."""

    def lower_batch(self, rows: NDArray[np.int64] | None, key: Sequence[int] | None = None) -> Any:
        """The rows of one lower step on the device; None means all. ``key`` seeds whatever is random in the step,
        which is a pure function of it; without a key nothing is.
        """

    def lift(self, w: list[Var], batch: Any) -> list[Var]:
        """L w: linear in w."""

    def lower_loss(self, u: list[Var], lam: list[Var], batch: Any) -> Var:
        """φ(u, λ), so that f(w, λ) = φ(L w, λ). ``u`` may come from :meth:`moved`."""

    def moved(self, u: list[Var], t: list[Var], step: Var) -> list[Any]:
        """``u`` + ``step`` · ``t`` in a form that :meth:`lower_loss` takes; ``step`` has shape (1,)."""

    def upper(self, w: list[Var], lam: list[Var]) -> UpperValue:
        """F(w, λ) and the score of w."""

    def selection_loss(self, w: list[Var], lam: list[Var]) -> Var | None:
        """The loss of w on rows that no gradient ever sees, or None without such rows."""

    @property
    def aggregated_loss(self) -> AggregatedLoss | None:
        """What lower steps of gradient descent aggregation descend, or None: α f + (1 − α) F."""


class DeviceRows(NamedTuple):
    """A part of the data on the device: features (n, d), and targets as labels (n,), int32, or as one column (n, 1)."""

    features: Var
    targets: Var
    variance: float  # of a numeric target, for R²


@dataclass(frozen=True, eq=False, kw_only=True)
class Supervised(ABC):
    """Learning from rows: the fields and losses that both kinds of problem share.

    ``train`` shapes the model and ``upper`` judges the hyperparameters; ``selection`` is scored and never
    differentiated. ``n_classes`` is None for regression. ``loss`` is by default cross-entropy for classes and squared
    error for numbers; both levels and the selection take its mean. ``weight_decay`` adds (c/2)‖W‖² over weight matrices
    to the lower loss, and ``shrinkage`` adds ρ‖λ − λ₀‖² to the upper loss, λ₀ being where λ starts.

    Raises:
        ValueError: the loss does not fit the targets.
    """

    train: Rows
    upper_rows: Rows
    selection: Rows | None = None
    model: Model = field(default_factory=Linear)
    n_classes: int | None
    loss: Loss | None = None
    weight_decay: float = 0.0
    shrinkage: float = 0.0
    dtype: Precision = "float32"

    def __post_init__(self) -> None:
        of_classes, of_numbers = isinstance(self.loss, CrossEntropy), isinstance(self.loss, SquaredError | Huber)
        if of_classes if self.n_classes is None else of_numbers:
            raise ValueError(f"{self.loss} does not fit {'numbers' if self.n_classes is None else 'classes'}")
        if isinstance(self.loss, CrossEntropy) and len(self.loss.class_weights or ()) not in {0, self.n_classes}:
            raise ValueError(f"{self.loss} needs one weight for each of {self.n_classes} classes")

    @property
    def row_loss(self) -> Loss:
        """The loss of a row."""
        return self.loss or default_loss(self.n_classes)

    @property
    def n_outputs(self) -> int:
        """Columns of the model's output."""
        return self.n_classes or 1

    @property
    def lower_rows(self) -> int:
        """The number of training rows."""
        return len(self.train[1])

    def initial_w(self, rng: np.random.Generator) -> Arrays:
        """A fresh model."""
        return self.model.initial(self.train[0].shape[1], self.n_outputs, rng)

    @abstractmethod
    def initial_lambda(self) -> Arrays:
        """Where the upper level starts."""

    @property
    def stochastic(self) -> bool:
        """Whether the model has dropout."""
        return self.model.dropout > 0

    @property
    def convex(self) -> bool:
        """Whether the model is linear."""
        return self.model.convex

    @property
    def smooth(self) -> bool:
        """Whether the model is without relu."""
        return self.model.smooth

    def lower_batch(self, rows: NDArray[np.int64] | None, key: Sequence[int] | None = None) -> Batch:
        """Training rows on the device; None means all of them. ``key`` draws the units that dropout keeps."""
        data = self._train
        kept = self._draw(self.lower_rows if rows is None else len(rows), key)
        if rows is None:
            return Batch(data.features, data.targets, None, kept)
        index = jt.array(rows.astype(np.int32))
        return Batch(data.features[index], data.targets[index], index, kept)

    def _draw(self, rows: int, key: Sequence[int] | None) -> Kept:
        if key is None or not self.stochastic:
            return ()
        return [jt.array(units) for units in self.model.draw(rows, np.random.default_rng(key))]

    def lift(self, w: list[Var], batch: Batch) -> list[Var]:
        """The pre-activations of the first layer, then w."""
        return self.model.lift(w, batch.features)

    def row_losses(self, u: list[Var], targets: Var, kept: Kept = ()) -> Var:
        """The loss of each row, shape (n,)."""
        if fused.usable():
            u = [u[0], *fused.as_arrays(u[1:])]
        return self.row_loss(self.model.outputs(u, kept), targets)

    def moved(self, u: list[Var], t: list[Var], step: Var) -> list[Any]:
        """``u`` + ``step`` · ``t``, not added yet: whoever reads it adds on the way, or takes differences."""
        return [fused.Moved(a, b, step) for a, b in zip(u, t, strict=True)]

    @abstractmethod
    def lower_loss(self, u: list[Var], lam: list[Var], batch: Batch) -> Var:
        """φ(u, λ)."""

    def decay(self, u: list[Var]) -> Var:
        """(c/2)‖W‖² over the weight matrices in lifted parameters."""
        weights = list(map(fused.as_array, u[1::2]))
        return constant(self.weight_decay / 2, weights[0]) * squared_norm(weights)

    def upper(self, w: list[Var], lam: list[Var]) -> UpperValue:
        """The mean loss on the upper rows, with shrinkage, and the score on them."""
        rows = self._upper
        outputs = self.model.outputs(self.model.lift(w, rows.features))
        loss = mean(self.row_loss(outputs, rows.targets))
        if self.n_classes is not None:
            score = mean(outputs.correct(rows.targets))
        else:
            error = mean(SquaredError()(outputs, rows.targets))
            score = constant(1.0, error) - error / constant(rows.variance, error)
        if self.shrinkage:
            loss = loss + constant(self.shrinkage, loss) * squared_norm(
                [a - b for a, b in zip(lam, self._start, strict=True)]
            )
        return UpperValue(loss, score.stop_grad(), reads_lambda=bool(self.shrinkage))

    @property
    def aggregated_loss(self) -> None:
        """None: the mixture of both losses."""
        return

    def selection_loss(self, w: list[Var], lam: list[Var]) -> Var | None:
        """The mean loss on the selection rows, if there are any."""
        rows = self._selection
        if rows is None:
            return None
        return mean(self.row_losses(self.model.lift(w, rows.features), rows.targets))

    @cached_property
    def _start(self) -> list[Var]:
        return [device_array(array, self.dtype) for array in self.initial_lambda()]

    @cached_property
    def _train(self) -> DeviceRows:
        return self.on_device(self.train)

    @cached_property
    def _upper(self) -> DeviceRows:
        return self.on_device(self.upper_rows)

    @cached_property
    def _selection(self) -> DeviceRows | None:
        return None if self.selection is None else self.on_device(self.selection)

    def on_device(self, rows: Rows) -> DeviceRows:
        """``rows`` as arrays on the device, in the precision of the problem."""
        features, targets = rows
        if self.n_classes is None:
            column = targets.reshape(-1, 1)
            variance = float(np.var(targets)) or 1.0  # a constant target: R² is minus the squared error
            return DeviceRows(device_array(features, self.dtype), device_array(column, self.dtype), variance)
        return DeviceRows(device_array(features, self.dtype), jt.array(targets.astype(np.int32)), 1.0)
