"""The record of an iteration, and how its values are read from the device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from hposvc.bilevel.arrays import Var
from hposvc.bilevel.state import SolverState
from hposvc.copyable import Copyable


@dataclass(frozen=True)
class Iteration:
    """One iteration, counted from 1. The losses are those of the point that was differentiated.

    ``upper_loss`` is F(w, λ) where the hypergradient was taken; ``lower_loss`` that of the last lower step, before it;
    ``upper_score`` accuracy or R² on the upper rows, where there is a score; ``fd_relative_error`` the error bar where
    certified; ``seconds`` the solver's own time up to the end of this iteration.
    """

    iteration: int
    upper_loss: float
    hypergradient_norm: float
    lower_loss: float
    upper_score: float | None
    selection_loss: float | None
    fd_relative_error: float | None
    seconds: float


class Diverged(Copyable, RuntimeError):
    """A loss or hypergradient became infinite or NaN. ``values`` holds them by name, ``iteration`` says when."""

    def __init__(self, iteration: int, values: dict[str, float]) -> None:
        listed = ", ".join(f"{name} = {value:g}" for name, value in values.items())
        super().__init__(
            f"The run diverged at iteration {iteration}: {listed}. "
            "Use a smaller learning rate (or leave it automatic), or bounds on λ."
        )
        self.iteration = iteration
        self.values = values


class PendingIteration(NamedTuple):
    """An iteration whose values are still on the device, and the λ it was taken at.

    ``arrays`` hold the values called ``names``, one after the other.
    """

    iteration: int
    names: tuple[str, ...]
    arrays: list[Var]
    lam: list[Var]
    seconds: float


def read_iterations(pending: list[PendingIteration], state: SolverState) -> tuple[list[Iteration], Diverged | None]:
    """The values of pending iterations, up to the first that is not finite; updates what the rules look at."""
    records = []
    for item in pending:
        numbers = [float(number) for array in item.arrays for number in array.numpy()]
        values = dict(zip(item.names, numbers, strict=True))
        records.append(
            Iteration(
                iteration=item.iteration,
                upper_loss=values["upper_loss"],
                hypergradient_norm=values["hypergradient_norm"],
                lower_loss=values["lower_loss"],
                upper_score=values.get("upper_score"),
                selection_loss=values.get("selection_loss"),
                fd_relative_error=values.get("fd_relative_error"),
                seconds=item.seconds,
            )
        )
        checked = {name: values[name] for name in ("upper_loss", "hypergradient_norm", "lower_loss")}
        if not all(math.isfinite(value) for value in checked.values()):
            return records, Diverged(item.iteration, checked)
        state.zero_iterations = 0 if values["hypergradient_norm"] else state.zero_iterations + 1
        judged = values.get("selection_loss", values["upper_loss"])
        if judged < state.best_value:
            state.best_value, state.best_iteration, state.best_lam = judged, item.iteration, item.lam
    return records, None
