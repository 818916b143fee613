"""When values are read from the device, and which rule ends a run."""

from __future__ import annotations

from collections.abc import Collection

from hposvc.bilevel.config import Stop
from hposvc.bilevel.iteration import Iteration
from hposvc.bilevel.state import SolverState

# Values are read from the device this often, whichever comes first: reading waits for all that is computed.
FLUSH_ITERATIONS, FLUSH_SECONDS = 50, 0.5

# So many hypergradients of exactly zero in a row end the run. Looked at where values are read whatever the clock says.
ZERO_ITERATIONS = 10


def values_due(stop: Stop, iteration: int, elapsed: float, ends: Collection[int] = ()) -> bool:
    """Whether values are to be read after ``iteration``, ``elapsed`` seconds after the last time, or one of ``ends``.

    Where a rule looks at values they are read every iteration, so that it does not depend on timing.
    """
    return (
        iteration % FLUSH_ITERATIONS == 0
        or iteration == ZERO_ITERATIONS
        or iteration >= stop.iterations
        or iteration in ends
        or elapsed >= FLUSH_SECONDS
        or stop.patience is not None
        or stop.hypergradient_tolerance is not None
    )


def stopping_rule(stop: Stop, state: SolverState, last: Iteration) -> str | None:
    """The name of the rule that ends the run after ``last``, or None. Updates what patience has seen."""
    if stop.patience is not None and last.upper_loss < state.patience_value - stop.min_delta:
        state.patience_value, state.patience_iteration = last.upper_loss, last.iteration
    if stop.hypergradient_tolerance is not None and last.hypergradient_norm <= stop.hypergradient_tolerance:
        return "hypergradient_tolerance"
    if stop.patience is not None and last.iteration - state.patience_iteration >= stop.patience:
        return "patience"
    if state.zero_iterations >= ZERO_ITERATIONS and (
        last.iteration == ZERO_ITERATIONS or last.iteration % FLUSH_ITERATIONS == 0
    ):
        return "zero_hypergradient"
    if last.iteration >= stop.iterations:
        return "iterations"
    if stop.max_seconds is not None and last.seconds >= stop.max_seconds:
        return "max_seconds"
    return None
