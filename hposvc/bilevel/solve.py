"""The outer loop: lower steps, hypergradient, upper step, as a generator over an explicit state.

    state = initial_state(problem, config)
    for batch in solve(problem, config, state):
        for iteration in batch: ...

Values are read from the device once per batch. To pause, stop iterating: ``state`` is whole at every yield, and
:meth:`SolverState.to_bytes` saves it. Whatever is random or ordered is a function of the seed and a counter in the
state, so a run that was stopped and resumed is bit-identical on the CPU to one that was not, mid-epoch too.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hposvc.bilevel.arrays import Var, constant, descended, detach, device_array, length, squared_norm
from hposvc.bilevel.config import Implicit, SolveConfig
from hposvc.bilevel.fused import packed
from hposvc.bilevel.hypergradient import Point, Response, SecondOrder, implicit, unrolled
from hposvc.bilevel.iteration import Iteration, PendingIteration, read_iterations
from hposvc.bilevel.lower import Descent, descend, lower_rate, momentum, renew_curvature
from hposvc.bilevel.objectives import lower_objective
from hposvc.bilevel.optimizers import Moments, clip, project, update
from hposvc.bilevel.problem import BilevelProblem, UpperValue
from hposvc.bilevel.radius import Product, certifying_oracle, configured_oracle, refitted, relative_gap
from hposvc.bilevel.runtime import jt
from hposvc.bilevel.state import SolverState
from hposvc.bilevel.stopping import stopping_rule, values_due

# An automatic upper rate moves no entry of λ by more than this in the first step; Adam's steps keep that scale.
UPPER_STEP = 0.1

# So many roundings of a parameter stand for all roundings of an evaluation. With one, the median of the error bar is
# 0.6 to 1.9 times the error, by data set and model of default runs (docs/errors.md).
NUDGE = 1


def solve(
    problem: BilevelProblem, config: SolveConfig, state: SolverState, ends: Collection[int] = ()
) -> Iterator[list[Iteration]]:
    """Run from ``state`` until a stopping rule holds, yielding iterations in batches; ``state`` advances in place.

    A batch ends at each of the iterations ``ends``, and at others.

    Raises:
        Diverged: after everything up to and including the offending iteration was yielded.
    """
    pending: list[PendingIteration] = []
    began = flushed = time.monotonic()
    before = state.seconds
    while state.stopped_by is None:
        if state.iteration >= config.stop.iterations:
            state.stopped_by = "iterations"
            break
        iteration = _iterate(problem, config, state)
        now = time.monotonic()
        state.seconds = before + now - began
        pending.append(iteration._replace(seconds=state.seconds))
        if not values_due(config.stop, state.iteration, now - flushed, ends):
            continue
        records, failure = read_iterations(pending, state)
        pending = []
        flushed = now
        state.stopped_by = stopping_rule(config.stop, state, records[-1])
        yield records
        if failure is not None:
            raise failure
        # The time that the caller spends on the records is not the solver's.
        began, before = time.monotonic(), state.seconds


def hypergradient(problem: BilevelProblem, config: SolveConfig, state: SolverState) -> list[Var]:
    """dF/dλ at ``state`` as the next iteration estimates it, shaped like λ. ``state`` is left as it is."""
    looked_at = replace(state)
    renew_curvature(problem, config, looked_at)
    return _estimate(problem, config, looked_at).hypergradient


def _iterate(problem: BilevelProblem, config: SolveConfig, state: SolverState) -> PendingIteration:
    """One upper iteration; with one lower step a single lazy graph, and nothing read unless the radius adapts."""
    lam = state.lam
    renew_curvature(problem, config, state)
    estimate = _estimate(problem, config, state)
    descent = estimate.descent

    values = {
        "upper_loss": estimate.upper.loss,
        "hypergradient_norm": length(estimate.hypergradient),
        "lower_loss": descent.loss,
    }
    if estimate.upper.score is not None:
        values["upper_score"] = estimate.upper.score
    selection = problem.selection_loss(descent.w, lam)
    if selection is not None:
        values["selection_loss"] = selection
    if config.certify_every and (state.iteration + 1) % config.certify_every == 0:
        values["fd_relative_error"] = _error_bar(problem, config, state, estimate.hypergradient)
    arrays = detach([*values.values()])
    if jt.flags.use_cuda:
        arrays = [packed(arrays)]

    _move_hyperparameters(config, state, estimate.hypergradient)
    if config.dynamic_initialization is None:
        state.w, state.velocity = descent.w, descent.velocity
    else:
        rate = constant(config.dynamic_initialization, state.w[0])
        state.w = detach(descended(state.w, estimate.through_w.start, rate))
    state.iteration += 1
    state.lower_steps += config.lower.steps
    jt.sync([*arrays, *state.w, *state.velocity, *state.lam, *state.first_moment, *state.second_moment])
    return PendingIteration(state.iteration, tuple(values), arrays, lam, state.seconds)


class _Estimate(NamedTuple):
    """A hypergradient and what it was made of. ``through_w`` is its part through w."""

    hypergradient: list[Var]
    descent: Descent
    upper: UpperValue
    through_w: Response


def _estimate(
    problem: BilevelProblem, config: SolveConfig, state: SolverState, second_order: SecondOrder | None = None
) -> _Estimate:
    """Lower steps from ``state``, and dF/dλ at their end: ∂F/∂λ and, through w, what the estimator makes of ∂F/∂w.

    By the oracle of the run, which is renewed in ``state`` where it is time to, or by ``second_order``. The rest of
    ``state`` is left as it is.
    """
    descent = descend(problem, config, state)
    upper = problem.upper(descent.w, state.lam)
    gradients = detach(jt.grad(upper.loss, [*descent.w, *(state.lam if upper.reads_lambda else [])]))
    upper_gradient, direct = gradients[: len(descent.w)], gradients[len(descent.w) :]
    response = _response(problem, config, state, descent, upper_gradient)
    if second_order is None:
        fitted = refitted(config, state.iteration, state.fitted, descent.points[-1], upper_gradient, response)
        state.oracle, state.radius_factor = fitted
        second_order = configured_oracle(config, fitted)
    through_w = response(second_order)
    total = through_w.hypergradient
    if direct:
        total = [a + b for a, b in zip(direct, total, strict=True)]
    total = detach(total)
    return _Estimate(total, descent, upper, through_w)


def _error_bar(problem: BilevelProblem, config: SolveConfig, state: SolverState, h: list[Var]) -> Var:
    """The relative error of ``h``, the hypergradient at ``state``, shape (1,): that of the oracle and of rounding.

    ``h`` is compared with the whole hypergradient by the certifying oracle, twice (root mean square), from parameters
    that are ``NUDGE`` roundings off: what rounding does to one evaluation, it does differently to another. So the bar
    is large where the two parts of the hypergradient cancel.
    """
    rng = config.rng(f"rounding {state.iteration}")
    size = NUDGE * float(np.finfo(problem.dtype).eps)
    gaps = []
    for _ in range(2):
        nudged = [a * device_array(1 + size * rng.choice([-1.0, 1.0], tuple(a.shape)), problem.dtype) for a in state.w]
        jt.sync(nudged)
        reference = _estimate(problem, config, replace(state, w=nudged), certifying_oracle(config, state.fitted))
        gaps.append(relative_gap(reference.hypergradient, h))
    return jt.sqrt(squared_norm(gaps) / constant(2, gaps[0]))


def _response(
    problem: BilevelProblem, config: SolveConfig, state: SolverState, descent: Descent, upper_gradient: list[Var]
) -> Product:
    """The estimator of this run, at these points, as a function of the oracle."""
    estimator, lam = config.estimator, state.lam
    if isinstance(estimator, Implicit):
        objective = lower_objective(problem, None)  # the theorem is about all rows, not about a batch
        point = Point(objective, descent.w, lower_rate(config, state), objective.lift(descent.w))

        def at_solution(second_order: SecondOrder) -> Response:
            method, terms = estimator.method, estimator.terms
            return implicit(point, lam, upper_gradient, second_order, method=method, terms=terms)

        return at_solution

    mu, with_start = momentum(config, state), config.dynamic_initialization is not None

    def through_steps(second_order: SecondOrder) -> Response:
        return unrolled(descent.points, lam, upper_gradient, second_order, momentum=mu, with_start=with_start)

    return through_steps


def _move_hyperparameters(config: SolveConfig, state: SolverState, h: list[Var]) -> None:
    """The upper step: λ in ``state`` moves against ``h``, clipped, and stays within its bounds."""
    upper = config.upper
    clipped = h if upper.clip_norm is None else clip(h, upper.clip_norm)
    moved, moments = update(
        upper.optimizer,
        state.lam,
        clipped,
        Moments(state.first_moment, state.second_moment),
        rate=_upper_rate(config, state, clipped),
        k=state.iteration + 1,
    )
    if upper.bounds is not None:
        moved = project(moved, upper.bounds)
    state.lam = detach(moved)
    state.first_moment, state.second_moment = detach(moments.first), detach(moments.second)


def _upper_rate(config: SolveConfig, state: SolverState, h: list[Var]) -> float:
    """The learning rate of the coming upper step. An automatic one is chosen at the first, and kept in ``state``."""
    if state.upper_rate is None:
        if config.upper.learning_rate != "auto":
            state.upper_rate = config.upper.learning_rate
        elif config.upper.optimizer == "adam":
            state.upper_rate = UPPER_STEP
        else:
            largest = max(float(np.abs(a.numpy()).max()) for a in h)
            state.upper_rate = UPPER_STEP / largest if largest > 0 else UPPER_STEP
    return state.upper_rate * config.upper.schedule(state.iteration, config.stop.iterations)
