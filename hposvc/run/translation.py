"""From a job's specification to the solver's own terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hposvc import training_data
from hposvc.bilevel import (
    CNN,
    MLP,
    Aggregation,
    CrossEntropy,
    Huber,
    Implicit,
    Linear,
    LowerConfig,
    OneStep,
    RegularizationProblem,
    ReweightingProblem,
    Schedule,
    SolveConfig,
    SquaredError,
    Stop,
    Unrolled,
    UpperConfig,
)
from hposvc.bilevel.losses import Loss
from hposvc.bilevel.models import Model
from hposvc.schema.spec import FROM_LABELS, JobSpec, LossSpec, ModelSpec, ScheduleSpec, SolverSpec

SHRINKAGE = {"data_reweighting": 0.0, "regularization_tuning": 1e-2}
"""The penalty on ‖λ − λ₀‖² where the job leaves it to us; docs/decisions/guarding-the-upper-level.md measures both."""


CERTIFICATES = 10
FEWEST_BETWEEN, MOST_BETWEEN = 20, 1000
"""How many hypergradients are certified where the job leaves it to us, and iterations from one to the next."""


def config(spec: JobSpec) -> SolveConfig:
    """What the spec says about the solver, in the solver's own terms."""
    solver, lower, upper, stop = spec.solver, spec.solver.lower, spec.solver.upper, spec.stop
    start, gda = solver.dynamic_initialization, solver.gda
    return SolveConfig(
        estimator=_estimator(solver),
        oracle=solver.oracle,
        radius=None if solver.radius == "auto" else solver.radius,
        lower=LowerConfig(
            lower.learning_rate, lower.momentum, lower.steps, lower.batch_size, _schedule(lower.schedule)
        ),
        upper=UpperConfig(
            upper.optimizer, upper.learning_rate, upper.bounds, upper.clip_norm, _schedule(upper.schedule)
        ),
        stop=Stop(stop.iterations, stop.max_seconds, stop.patience, stop.min_delta, stop.hypergradient_tolerance),
        dynamic_initialization=None if start is None else start.learning_rate,
        aggregation=None if gda is None else Aggregation(gda.alpha_init, gda.alpha_decay),
        certify_every=_certify_every(solver, stop.iterations),
        certify_against=solver.certify_against,
        warm_start=spec.kind == "regularization_tuning" or spec.per in FROM_LABELS,
        seed=solver.seed,
    )


def _certify_every(solver: SolverSpec, iterations: int) -> int:
    """Iterations between two certificates, 0 for none: automatic ones are about ten, and each costs two iterations."""
    if solver.certify_every != "auto":
        return solver.certify_every
    return min(max(iterations // CERTIFICATES, FEWEST_BETWEEN), MOST_BETWEEN)


def _estimator(solver: SolverSpec) -> OneStep | Unrolled | Implicit:
    if solver.estimator == "unrolled":
        return Unrolled(solver.truncate)
    if solver.estimator == "implicit":
        return Implicit() if solver.implicit is None else Implicit(solver.implicit.method, solver.implicit.terms)
    return OneStep()


def _schedule(schedule: ScheduleSpec) -> Schedule:
    return Schedule(schedule.kind, schedule.final)


def supervised(spec: JobSpec, dataset: training_data.Dataset, splits: training_data.Splits) -> dict[str, Any]:
    """The fields that all kinds of problem share. They know nothing of planted noise."""
    selection = splits.selection
    return {
        "train": (splits.train.features, splits.train.targets),
        "upper_rows": (splits.validation.features, splits.validation.targets),
        "selection": None if selection is None else (selection.features, selection.targets),
        "model": model(spec.model, dataset.image_shape),
        "n_classes": None if dataset.classes is None else len(dataset.classes),
        "loss": _loss(spec.loss, dataset.classes, splits.train.targets),
        "dtype": spec.solver.dtype,
    }


def problem(
    spec: JobSpec, dataset: training_data.Dataset, splits: training_data.Splits, start: float
) -> ReweightingProblem | RegularizationProblem:
    """The bilevel problem of ``spec`` on ``splits``, with every λ at ``start``."""
    settings, decay = spec.hyperparameters, spec.solver.lower.weight_decay
    common = supervised(spec, dataset, splits) | {
        "shrinkage": SHRINKAGE[spec.kind] if settings.shrinkage == "auto" else settings.shrinkage,
        "initial": start,
        "per": spec.per,
    }
    if spec.kind == "data_reweighting":
        # The prior that weights are of the order of one, on standardized features.
        automatic = 1 / len(splits.train)
        groups = dataset.groups if spec.per == "group" else None
        # Groups without training rows have no weight.
        present = None if groups is None else np.unique(groups[splits.train.rows], return_inverse=True)[1]
        return ReweightingProblem(**common, row_groups=present, weight_decay=automatic if decay == "auto" else decay)
    return RegularizationProblem(**common, penalty=settings.penalty, weight_decay=0.0 if decay == "auto" else decay)


def model(spec: ModelSpec, image_shape: tuple[int, int, int] | None) -> Model:
    """The model that ``spec`` names. Raises ValueError: a CNN without images."""
    if spec.type == "linear":
        return Linear()
    if spec.type == "mlp":
        return MLP(tuple(spec.hidden), spec.activation, spec.dropout)
    if image_shape is None:
        raise ValueError("a CNN needs images")
    return CNN(image_shape, tuple(spec.channels), spec.kernel, tuple(spec.hidden), spec.activation, spec.dropout)


def _loss(spec: LossSpec | None, classes: Sequence[str] | None, labels: NDArray[Any]) -> Loss | None:
    """The loss that ``spec`` names, with class weights that are 1 on average over the training rows' ``labels``."""
    if spec is None:
        return None
    if spec.type == "huber":
        return Huber(spec.delta)
    if spec.type == "squared_error":
        return SquaredError()
    if spec.class_weights is None or classes is None:
        return CrossEntropy()
    counts = np.bincount(labels, minlength=len(classes))
    if spec.class_weights == "balanced":
        weights = 1 / np.maximum(counts, 1)
    else:
        weights = np.array([spec.class_weights.get(name, 1.0) for name in classes])
    return CrossEntropy(tuple((weights * len(labels) / (weights @ counts)).tolist()))
