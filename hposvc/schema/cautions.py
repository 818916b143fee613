"""What somebody should know about the settings of a job: plain sentences, each with what to do about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from hposvc.schema.figures import number, percent
from hposvc.schema.spec import JobSpec

# λ is on a logarithmic scale: a step of 5 multiplies a strength by 150, and takes a weight from 1/2 to 0.007.
LARGEST_STEP = 5.0

# Features are standardized, so the curvature of the lower loss is about 1, and the largest stable step about 2.
LARGEST_LOWER_RATE = 100.0

# Per row, a hypergradient is small: 0.1 divided by its largest entry, which is what `auto` takes, may well be 100.
LARGEST_PLAIN_RATE = 100.0

# An error of so much of the hypergradient is more than its direction can be trusted with.
LARGEST_ERROR = 0.05

# So much smaller than the largest, a hypergradient moves λ no more, and what is left of it is rounding.
NEGLIGIBLE = 1e-3

# So much above its lowest value, the selection loss says that λ overfits: of its fall, and of the value itself.
RISE_OF_FALL, RISE_OF_VALUE = 0.1, 0.01

# What the solver says when it ends a run for want of influence.
ZERO = "zero_hypergradient"

# So few iterations say nothing about what never changes.
FEWEST_ITERATIONS = 10


class Sizes(NamedTuple):
    """How many validation rows judge how many hyperparameters."""

    upper_rows: int
    hyperparameters: int


class Record(Protocol):
    """What is looked at of an iteration."""

    @property
    def upper_loss(self) -> float:
        """F where the hypergradient was taken."""

    @property
    def hypergradient_norm(self) -> float:
        """‖h‖."""

    @property
    def fd_relative_error(self) -> float | None:
        """The error bar, where it was certified."""


@dataclass(frozen=True)
class Seen:
    """What a run has shown so far.

    ``largest_error`` is that of hypergradients that were not yet negligible beside the largest.
    ``largest_stable_rate`` is measured where a lower learning rate was given.
    """

    iterations: int = 0
    first_upper_loss: float = math.nan
    last_upper_loss: float = math.nan
    smallest_norm: float = math.inf
    largest_norm: float = 0.0
    last_norm: float = math.nan
    largest_error: float | None = None
    largest_stable_rate: float | None = None

    def after(self, record: Record) -> Seen:
        """With one iteration more."""
        largest_norm = max(self.largest_norm, record.hypergradient_norm)
        tells = record.hypergradient_norm >= NEGLIGIBLE * largest_norm
        errors = [self.largest_error, record.fd_relative_error if tells else None]
        return replace(
            self,
            iterations=self.iterations + 1,
            first_upper_loss=self.first_upper_loss if self.iterations else record.upper_loss,
            last_upper_loss=record.upper_loss,
            smallest_norm=min(self.smallest_norm, record.hypergradient_norm),
            largest_norm=largest_norm,
            last_norm=record.hypergradient_norm,
            largest_error=max((error for error in errors if error is not None), default=None),
        )


def of_spec(spec: JobSpec, sizes: Sizes) -> Iterator[str]:
    """What can be seen before a job has run."""
    yield from _of_settings(spec, sizes)
    upper = spec.solver.upper
    if upper.learning_rate != "auto" and _is_unbounded(spec) and upper.learning_rate > LARGEST_PLAIN_RATE:
        yield (
            f"solver.upper.learning_rate: with {upper.optimizer}, {upper.learning_rate:g} moves λ by "
            f"{upper.learning_rate:g} times the hypergradient, whose size is not known yet, and λ is on a logarithmic "
            "scale; set solver.upper.clip_norm, or leave it automatic."
        )


def of_own_problem(spec: JobSpec) -> Iterator[str]:
    """What can be seen of a job of kind custom: of those settings that the job names, not of its problem's defaults."""
    lower, upper = spec.solver.lower.learning_rate, spec.solver.upper.learning_rate
    for level, moved, rate, most in (
        ("upper", "λ", upper, LARGEST_PLAIN_RATE),
        ("lower", "w", lower, LARGEST_LOWER_RATE),
    ):
        if rate != "auto" and rate > most:
            yield (
                f"solver.{level}.learning_rate: {rate:g} is far above the usual; unless {moved} of this problem is "
                "very large, or its gradients are very small, the job will probably diverge. Leave it automatic."
            )


def _is_unbounded(spec: JobSpec) -> bool:
    """Whether nothing bounds an upper step: it is as long as the hypergradient makes it."""
    return spec.solver.upper.optimizer != "adam" and spec.solver.upper.clip_norm is None


def _of_settings(spec: JobSpec, sizes: Sizes) -> Iterator[str]:
    rate, optimizer = spec.solver.upper.learning_rate, spec.solver.upper.optimizer
    if optimizer == "adam" and rate != "auto" and rate > LARGEST_STEP:
        yield (
            f"solver.upper.learning_rate: with adam, {rate:g} moves λ by up to {rate:g} in a step, which is on a "
            "logarithmic scale; use 0.1, or leave it automatic."
        )
    lower = spec.solver.lower.learning_rate
    if lower != "auto" and lower > LARGEST_LOWER_RATE:
        yield (
            f"solver.lower.learning_rate: {lower:g} is far above the largest stable step, which is about 2 for "
            "features of the usual scale; the job will probably diverge. Leave it automatic."
        )
    few = sizes.upper_rows < sizes.hyperparameters
    if spec.kind == "regularization_tuning" and spec.hyperparameters.shrinkage == 0 and few:
        yield (
            f"hyperparameters.shrinkage: {sizes.upper_rows:,} validation rows judge {sizes.hyperparameters:,} "
            "strengths, which without shrinkage will fit those rows; leave it automatic, or tune fewer strengths."
        )


def of_selection(best_iteration: int, first: float, best: float, last: float) -> Iterator[str]:
    """What the selection loss shows at its ``first``, ``best`` and ``last`` iteration: whether λ overfits."""
    if last - best > max(RISE_OF_FALL * (first - best), RISE_OF_VALUE * abs(best)):
        yield (
            f"λ overfits the validation rows since iteration {best_iteration:,}: the selection loss rose from "
            f"{number(best)} to {number(last)}. The tuned λ is that of iteration {best_iteration:,}. Fewer iterations "
            "(stop.iterations) or more hyperparameters.shrinkage would give as much in less time."
        )


def of_run(spec: JobSpec, sizes: Sizes, seen: Seen, stopped_by: str | None) -> Iterator[str]:
    """What a job that ran has shown, after what could be seen before, and was not measured since."""
    yield from _of_settings(spec, sizes)
    yield from _of_influence(spec, seen, stopped_by)
    yield from _of_steps(spec, sizes, seen)
    if seen.largest_error is not None and seen.largest_error > LARGEST_ERROR:
        yield (
            f"The certificate found hypergradients that are off by up to {percent(seen.largest_error, 0)}: "
            + (
                _better_numbers(spec)
                if spec.solver.radius == "auto"
                else f"solver.radius {spec.solver.radius:g} does not fit this problem; leave it automatic."
            )
        )


def _better_numbers(spec: JobSpec) -> str:
    if spec.solver.oracle == "finite_difference":
        return "use float64 (solver.dtype), or leave solver.oracle automatic."
    return "its two parts cancel to less than float32 resolves; use float64 (solver.dtype)."


def _of_influence(spec: JobSpec, seen: Seen, stopped_by: str | None) -> Iterator[str]:
    if seen.last_norm == 0:
        ended = f"The run was ended at iteration {seen.iterations}, because the" if stopped_by == ZERO else "The"
        yield (
            f"{ended} hypergradient is exactly zero: λ has no influence on the upper loss. "
            "Likely causes: a λ so far out that weights or strengths are zero or one to rounding "
            "(hyperparameters.initial, solver.upper.bounds), a solver.lower.learning_rate so small that the model does "
            "not move, or validation rows that the model predicts without error."
        )
    elif seen.iterations >= FEWEST_ITERATIONS:
        spread = (seen.largest_norm - seen.smallest_norm) / seen.largest_norm
        if spread < 4 * float(np.finfo(spec.solver.dtype).eps):
            yield (
                f"The hypergradient was the same in all {seen.iterations} iterations: neither the model nor λ moves. "
                "Raise solver.lower.learning_rate and solver.upper.learning_rate, or leave them automatic."
            )


def _of_steps(spec: JobSpec, sizes: Sizes, seen: Seen) -> Iterator[str]:
    lower, upper = spec.solver.lower.learning_rate, spec.solver.upper.learning_rate
    stable = seen.largest_stable_rate
    if lower != "auto" and stable is not None and stable < lower <= LARGEST_LOWER_RATE:
        yield (
            f"solver.lower.learning_rate: {lower:g} is above {stable:.2g}, the largest stable step by the curvature "
            "at the start; use half of that, or leave it automatic."
        )
    if upper == "auto":
        return
    if spec.solver.upper.optimizer != "adam":
        norm = seen.largest_norm if spec.solver.upper.clip_norm is None else spec.solver.upper.clip_norm
        moved = upper * min(norm, seen.largest_norm) / math.sqrt(sizes.hyperparameters)
        if moved > LARGEST_STEP:
            yield (
                f"solver.upper.learning_rate: {upper:g} moved λ by {moved:.2g} (root mean square) in one step, on a "
                "logarithmic scale; use a smaller one, set solver.upper.clip_norm, or leave it automatic."
            )
    if seen.last_upper_loss > seen.first_upper_loss:
        yield (
            f"The upper loss rose from {number(seen.first_upper_loss)} to {number(seen.last_upper_loss)}: "
            "use a smaller solver.upper.learning_rate, or leave it automatic."
        )
