"""A bilevel problem of one's own: any Jittor modules or arrays, any losses, any data.

    problem = ModuleProblem(
        model=Net(),
        hyperparameters={"w": np.zeros(40)},
        lower_loss=lambda model, lam, batch: (jt.sigmoid(lam["w"]) * losses(model(batch["x"]), batch["y"])).mean(),
        upper_loss=lambda model, lam, batch: losses(model(batch["x"]), batch["y"]).mean(),
        lower_data={"x": x, "y": y},
        upper_data={"x": x_upper, "y": y_upper},
    )

Nothing is known of how the losses depend on w, so that the linear part L (:mod:`hposvc.bilevel.problem`) is the
identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hposvc.bilevel import oracle
from hposvc.bilevel.arrays import Arrays, Precision, Var, device_array
from hposvc.bilevel.draws import Draws
from hposvc.bilevel.loss_checks import check
from hposvc.bilevel.loss_error import LossError
from hposvc.bilevel.problem import AggregatedLoss, UpperValue
from hposvc.bilevel.runtime import jt
from hposvc.bilevel.state import SolverState
from hposvc.bilevel.trees import Tree, as_numpy, leaves, mapped
from hposvc.bilevel.variables import Rebound, variables

OwnLoss = Callable[[Any, Any, Any], Var]
"""(model, λ, batch) ↦ a scalar. The model and λ are what was given, with the current numbers in them."""

OwnAggregation = Callable[[Any, Any, Any, Any, Var], Var]
"""(model, λ, lower batch, upper batch, α) ↦ a scalar: what a lower step of gradient descent aggregation descends."""


class Feed(NamedTuple):
    """Data of one evaluation on the device, the random numbers that belong to it, and whether dropout is off."""

    data: Tree
    draws: Draws
    evaluating: bool


class ModuleProblem:
    """A problem for :func:`hposvc.bilevel.solve` from a model, hyperparameters, two losses and their data.

    The model is in the mode that it is given in while ``lower_loss`` is computed: dropout thins, and the units that it
    keeps are the same wherever one lower step is evaluated again. In the upper losses dropout is off. A normalization
    layer in training mode normalizes by its batch, in both; one in evaluation mode by its stored statistics. Stored
    statistics and stopped parameters stay as they are.

    Args:
        model: what the lower level trains: a Jittor module, or arrays in dictionaries, lists and tuples. It starts
            where it is.
        hyperparameters: λ, in either form. It starts where it is.
        lower_loss: f(model, λ, batch), a scalar of Jittor: the mean over a batch.
        upper_loss: F(model, λ, batch), a scalar.
        lower_data: arrays in dictionaries, lists and tuples. The first axis of each is the rows; a mini-batch has some
            rows of each. What else is in it, such as a text or a lone number, is passed on as it is.
        upper_data: the same for the upper loss, which takes all rows at once.
        selection_data: the same for ``upper_loss`` on rows that no gradient sees, to choose the best iteration.
        score: what a person reads of the model on ``upper_data``, such as the accuracy; (model, λ, batch) ↦ a scalar.
        aggregated_loss: what lower steps descend with ``SolveConfig.aggregation``. None: α f + (1 − α) F.
        convex: whether f is convex in w, as conjugate gradient assumes.
        smooth: whether f has second derivatives everywhere: no relu, no absolute value. An automatic oracle is
            exact unless it is true.
        dtype: the precision of all arrays.

    Raises:
        LossError: a loss cannot be used; it says which and why. Each is tried on all rows, at the start.
        ValueError: there is nothing to move, or the arrays of a feed have different numbers of rows.
    """

    def __init__(
        self,
        *,
        model: Any,
        hyperparameters: Any,
        lower_loss: OwnLoss,
        upper_loss: OwnLoss,
        lower_data: Tree = None,
        upper_data: Tree = None,
        selection_data: Tree = None,
        score: OwnLoss | None = None,
        aggregated_loss: OwnAggregation | None = None,
        convex: bool = False,
        smooth: bool = False,
        dtype: Precision = "float32",
    ) -> None:
        self.dtype: Precision = dtype
        self.convex, self.smooth = convex, smooth
        self._w = variables(model, dtype, "model")
        self._lam = variables(hyperparameters, dtype, "hyperparameters")
        self._lower_loss, self._upper_loss, self._score = lower_loss, upper_loss, score
        self._aggregated_loss = aggregated_loss
        self._lower_data, self._upper_data, self._selection_data = lower_data, upper_data, selection_data
        self.lower_rows = rows_of("lower_data", lower_data)
        rows_of("upper_data", upper_data)
        rows_of("selection_data", selection_data)
        self._upper_draws = Draws((0, 0, 4))
        self.stochastic: bool = check(self)

    @property
    def model(self) -> Any:
        """The module, or the arrays as they were last stored."""
        return self._w.value

    @property
    def hyperparameters(self) -> Any:
        """λ as the module, or as the arrays that were last stored."""
        return self._lam.value

    @property
    def lambda_names(self) -> list[str]:
        """A name for each array of λ."""
        return self._lam.names

    @property
    def parameter_names(self) -> list[str]:
        """A name for each array of w."""
        return self._w.names

    def store(self, state: SolverState) -> None:
        """Keep the w and the λ of ``state`` in ``model`` and ``hyperparameters``."""
        self._w.store([array.numpy() for array in state.w])
        self._lam.store([array.numpy() for array in state.lam])

    def initial_w(self, rng: np.random.Generator) -> Arrays:
        """The parameters as they were given."""
        return [array.copy() for array in self._w.initial]

    def initial_lambda(self) -> Arrays:
        """The hyperparameters as they were given."""
        return [array.copy() for array in self._lam.initial]

    def lower_batch(self, rows: NDArray[np.int64] | None, key: Sequence[int] | None = None) -> Feed:
        """Rows of the lower data on the device, and random numbers; without a key, with dropout off."""
        data = self._lower
        if rows is not None:
            index = jt.array(rows.astype(np.int32))
            data = mapped(data, lambda leaf: leaf[index] if isinstance(leaf, jt.Var) else leaf)
        return Feed(data, Draws((0, 0, 2) if key is None else key), key is None)

    def lift(self, w: list[Var], batch: Feed) -> list[Var]:
        """The identity."""
        return list(w)

    def moved(self, u: list[Var], t: list[Var], step: Var) -> list[Any]:
        """``u`` + ``step`` · ``t``."""
        return oracle.moved(u, t, step)

    def lower_loss(self, u: list[Var], lam: list[Var], batch: Feed) -> Var:
        """f(w, λ), shape (1,)."""
        return self._evaluated("lower_loss", self._lower_loss, u, lam, batch)

    def upper(self, w: list[Var], lam: list[Var]) -> UpperValue:
        """F(w, λ), and the score if there is one."""
        feed = Feed(self.upper_on_device, self._upper_draws, evaluating=True)
        loss = self._evaluated("upper_loss", self._upper_loss, w, lam, feed)
        if self._score is None:
            return UpperValue(loss, None)
        return UpperValue(loss, self._evaluated("score", self._score, w, lam, feed).stop_grad())

    def selection_loss(self, w: list[Var], lam: list[Var]) -> Var | None:
        """The upper loss on the selection data, if there is any."""
        if self._selection_data is None:
            return None
        feed = Feed(self._selection, self._upper_draws, evaluating=True)
        return self._evaluated("upper_loss", self._upper_loss, w, lam, feed)

    @property
    def aggregated_loss(self) -> AggregatedLoss | None:
        """The aggregated loss, if one was given."""
        own = self._aggregated_loss
        if own is None:
            return None

        def evaluated(w: list[Var], lam: list[Var], batch: Feed, alpha: Var) -> Var:
            def loss(model: Any, hyperparameters: Any, data: Tree) -> Var:
                return own(model, hyperparameters, data, _unshared(self.upper_on_device), alpha)

            return self._evaluated("aggregated_loss", loss, w, lam, batch)

        return evaluated

    def _evaluated(self, name: str, loss: OwnLoss, w: list[Var], lam: list[Var], feed: Feed) -> Var:
        """The value of a loss at (w, λ), shape (1,)."""
        evaluating = feed.evaluating
        try:
            with (
                feed.draws.replayed(),
                self._w.bound(w, evaluating=evaluating) as model,
                self._lam.bound(lam, evaluating=evaluating) as hyperparameters,
            ):
                value = loss(model, hyperparameters, _unshared(feed.data))
        except Rebound as error:
            raise LossError(
                name,
                f"puts another array in the place of {error.name}",
                "leave the parameters to the solver: compute with them, and do not assign to them",
            ) from error
        if not isinstance(value, jt.Var) or value.numel() != 1:
            found = f"shape {tuple(value.shape)}" if isinstance(value, jt.Var) else type(value).__name__
            raise LossError(name, f"returns {found}, not one number of Jittor", "return a mean or a sum")
        return value if list(value.shape) == [1] else value.reshape([1])

    @cached_property
    def _lower(self) -> Tree:
        return self.on_device(self._lower_data)

    @cached_property
    def upper_on_device(self) -> Tree:
        """The upper data, on the device."""
        return self.on_device(self._upper_data)

    @cached_property
    def _selection(self) -> Tree:
        return self.on_device(self._selection_data)

    def on_device(self, data: Tree) -> Tree:
        """``data`` with its arrays on the device: numbers with a point in the precision of the problem."""

        def moved(leaf: Any) -> Any:
            array = _rows(leaf)
            if array is None:
                return leaf
            return device_array(array, {"f": self.dtype, "b": "bool"}.get(array.dtype.kind, "int32")).stop_grad()

        return mapped(data, moved)


def rows_of(name: str, data: Tree) -> int:
    """How many rows the arrays of a feed have; 1 where there is no array. Raises ValueError: they differ."""
    found = [(path, len(array)) for path, leaf in leaves(data) if (array := _rows(leaf)) is not None]
    if len({rows for _, rows in found}) > 1:
        listed = ", ".join(f"{path or name} has {rows}" for path, rows in found)
        raise ValueError(
            f"{name}: the first axis of every array is the rows, but {listed}; let the loss take what does not belong "
            "to rows from around it"
        )
    return found[0][1] if found else 1


def _rows(leaf: Any) -> NDArray[Any] | None:
    """``leaf`` as an array, if it has rows."""
    array = as_numpy(leaf)
    return array if array is not None and array.ndim else None


def _unshared(data: Tree) -> Tree:
    """``data`` in containers of its own, so that a loss may take from them and add to them."""
    return mapped(data, lambda leaf: leaf)
