"""Which combinations of solver settings the formulas of hypergradients cover: one rule for specs and for the solver."""

from __future__ import annotations

from typing import Literal

Estimator = Literal["one_step", "unrolled", "implicit"]


def uncovered(
    estimator: Estimator, *, steps: int, truncate: int | None, dynamic_initialization: bool, aggregation: bool
) -> str | None:
    """Why no formula covers this combination, as "field: reason; remedy" in the words of a spec; None if one does.

    Args:
        estimator: how the lower level is differentiated.
        steps: lower steps per iteration, at least 1.
        truncate: how many of the last steps ``unrolled`` differentiates; None means all. Others have none.
        dynamic_initialization: whether the start of the lower level is learned too.
        aggregation: whether lower steps descend a mixture of both losses (``gda`` in a spec).
    """
    if estimator == "one_step" and steps != 1:
        return (
            f"estimator: one_step differentiates one lower step, not {steps}; use unrolled "
            "(with truncate: 1 to count only the last step)"
        )
    if estimator == "unrolled" and truncate is not None:
        if truncate > steps:
            return f"truncate: cannot count {truncate} of {steps} lower steps; lower truncate or raise lower.steps"
        if dynamic_initialization and truncate < steps:
            return "dynamic_initialization: differentiates back to the start; use it without truncate"
    if estimator == "implicit":
        if dynamic_initialization:
            return "dynamic_initialization: the solution of the lower level does not depend on its start; use unrolled"
        if aggregation:
            return "gda: implicit assumes a solution of the lower level, which gda does not seek; use unrolled"
    return None
