"""The bilevel problems of default jobs on the bundled data sets, and how right their hypergradients are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from hposvc import training_data
from hposvc.bilevel import SolveConfig, SolverState, Stop, hypergradient, initial_state, solve
from hposvc.bilevel.arrays import device_array
from hposvc.bilevel.problem import Supervised
from hposvc.run import translation
from hposvc.schema.spec import JobSpec
from tests.support.references import Array, relative_error
from tests.support.solving import flat

ROWS: dict[str, Any] = {"kind": "data_reweighting", "hyperparameters": {"per": "row"}}
STRENGTHS: dict[str, Any] = {"kind": "regularization_tuning"}
LINEAR: dict[str, Any] = {"type": "linear"}
ARRAYS = ("w", "velocity", "lam", "first_moment", "second_moment", "best_lam", "direction", "curvature")
EVERY = 10


def bundled(job: dict[str, Any], dataset: str, model: dict[str, Any], **solver: Any) -> tuple[Supervised, SolveConfig]:
    """The problem of a job on a bundled set, and its settings, automatic unless ``solver`` says otherwise."""
    spec = JobSpec.model_validate(job | {"dataset": {"id": f"sklearn:{dataset}"}, "model": model, "solver": solver})
    prepared = training_data.prepare(training_data.load(spec.dataset, (), None), spec)
    start = 0.0 if spec.kind == "data_reweighting" else -4.0
    return translation.problem(spec, prepared.dataset, prepared.splits, start), translation.config(spec)


class Errors(NamedTuple):
    """Every tenth iteration of a run: the relative error of the whole hypergradient, and the error bar."""

    true: Array
    bar: Array
    oracle: str


def errors_of(problem: Supervised, config: SolveConfig, iterations: int) -> Errors:
    """Against the exact hypergradient in float64 at the same point."""
    precise = replace(problem, dtype="float64")
    exact = replace(config, oracle="exact", radius=None)
    config = replace(config, certify_every=EVERY)
    state = initial_state(problem, config)
    true, bar = [], []
    for end in range(EVERY, iterations + 1, EVERY):
        _advance(problem, config, state, end - 1)
        estimated = flat(hypergradient(problem, config, state))
        true.append(relative_error(estimated, flat(hypergradient(precise, exact, _in_float64(state)))))
        bar.append(_advance(problem, config, state, end)[-1].fd_relative_error)
    return Errors(np.array(true), np.array(bar), state.oracle)


def _advance(problem: Supervised, config: SolveConfig, state: SolverState, end: int) -> list[Any]:
    state.stopped_by = None
    batches = solve(problem, replace(config, stop=Stop(iterations=end)), state)
    return [iteration for batch in batches for iteration in batch]


def _in_float64(state: SolverState) -> SolverState:
    arrays = {name: [device_array(a.numpy(), "float64") for a in getattr(state, name)] for name in ARRAYS}
    return replace(state, dtype="float64", **arrays)
