"""What to change in a spec whose job diverged, so that a new job does not."""

from __future__ import annotations

from typing import NamedTuple

from hposvc.schema.spec import JobSpec

SMALLER = 0.1
"""What a learning rate is multiplied by that was automatic already, or has no automatic value."""
UPPER_AUTO = 0.1
"""The automatic learning rate of adam."""
BOUNDS = (-10.0, 10.0)
"""Bounds on λ within which weights and strengths differ by a factor of e²⁰."""


class Change(NamedTuple):
    """One field of a spec, and what it was and is."""

    field: str
    before: object
    after: object

    def __str__(self) -> str:
        """In words."""
        return f"{self.field}: {_told(self.after)} (was {_told(self.before)})"


def calmer(spec: JobSpec) -> tuple[JobSpec, list[Change]]:
    """The spec with steps that do not diverge, and what was changed of it: at least one field.

    Learning rates that were given become automatic. Where both were automatic, the upper one is made smaller and λ is
    bounded.
    """
    solver = spec.solver
    lower, upper, start = solver.lower, solver.upper, solver.dynamic_initialization
    changes: list[Change] = []

    def change(field: str, before: object, after: object) -> object:
        changes.append(Change(field, before, after))
        return after

    lower_update: dict[str, object] = {}
    upper_update: dict[str, object] = {}
    solver_update: dict[str, object] = {}
    if lower.learning_rate != "auto":
        lower_update["learning_rate"] = change("solver.lower.learning_rate", lower.learning_rate, "auto")
    if upper.learning_rate != "auto":
        upper_update["learning_rate"] = change("solver.upper.learning_rate", upper.learning_rate, "auto")
    if start is not None:
        rate = change("solver.dynamic_initialization.learning_rate", start.learning_rate, SMALLER * start.learning_rate)
        solver_update["dynamic_initialization"] = start.model_copy(update={"learning_rate": rate})
    if not changes:
        upper_update["learning_rate"] = change("solver.upper.learning_rate", "auto", SMALLER * UPPER_AUTO)
        if upper.bounds is None:
            upper_update["bounds"] = change("solver.upper.bounds", None, BOUNDS)
    solver_update["lower"] = lower.model_copy(update=lower_update)
    solver_update["upper"] = upper.model_copy(update=upper_update)
    corrected = spec.model_copy(update={"solver": solver.model_copy(update=solver_update)})
    return JobSpec.model_validate(corrected.model_dump()), changes


def _told(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return " to ".join(map(_told, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
