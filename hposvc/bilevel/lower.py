"""The lower level between two upper steps: gradient descent with momentum, at a rate that its curvature allows."""

from __future__ import annotations

import math
from typing import NamedTuple

from hposvc.bilevel.arrays import Var, constant
from hposvc.bilevel.config import SolveConfig
from hposvc.bilevel.curvature import CURVATURE_AGAIN, CURVATURE_EVERY, first_curvature, measured, stable_rate
from hposvc.bilevel.hypergradient import Point, lower_step
from hposvc.bilevel.objectives import step_objective
from hposvc.bilevel.problem import BilevelProblem
from hposvc.bilevel.radius import configured_oracle
from hposvc.bilevel.runtime import jt
from hposvc.bilevel.state import SolverState

# What remains of the largest curvature of earlier batches from one measurement to the next. One batch may curve ten
# times as much as another (8 rows of breast_cancer), and a step of 1/L for the one throws the other far away.
REMEMBERED = 0.98


class Descent(NamedTuple):
    """The lower steps of one iteration: where each step that is differentiated began, and where the last one ended.

    ``loss`` is the lower loss where the last step began.
    """

    points: list[Point]
    w: list[Var]
    velocity: list[Var]
    loss: Var


def descend(problem: BilevelProblem, config: SolveConfig, state: SolverState) -> Descent:
    """The lower steps of the coming iteration, from ``state``, which is left as it is."""
    lower = config.lower
    mu = momentum(config, state)
    rate = lower_rate(config, state)
    w, velocity = state.w, state.velocity
    points: list[Point] = []
    for k in range(lower.steps):
        objective = step_objective(problem, config, state.lower_steps, k, state.w[0])
        step = lower_step(objective, w, velocity, state.lam, rate, momentum=mu, keep=lower.steps == 1)
        w, velocity = step.w, step.velocity
        points = [*points, step.point][-config.differentiated_steps :]
        if lower.steps > 1:
            jt.sync([*w, *velocity])  # one graph per step
    return Descent(points, w, velocity, step.loss)


def momentum(config: SolveConfig, state: SolverState) -> Var | None:
    """μ, shape (1,), or None without momentum."""
    return constant(config.lower.momentum, state.w[0]) if config.lower.momentum else None


def lower_rate(config: SolveConfig, state: SolverState) -> Var:
    """ξ of the coming iteration, shape (1,): the inverse of the curvature where it is automatic."""
    scheduled = config.lower.schedule(state.iteration, config.stop.iterations)
    if config.lower.learning_rate == "auto":
        margin = 1.0 if config.lower.batch_size is None else 0.5  # one batch curves more than all rows do
        return stable_rate(state.curvature[0], margin * scheduled)
    return constant(config.lower.learning_rate * scheduled, state.w[0])


def renew_curvature(problem: BilevelProblem, config: SolveConfig, state: SolverState) -> None:
    """Measure the curvature again where the rate is automatic and it is time to: every few iterations.

    It is that of what the coming step descends: its batch, and with dropout the units that it keeps. Until the next
    measurement, other steps descend other losses, so the largest curvature that was seen is forgotten slowly.
    """
    if config.lower.learning_rate != "auto" or state.iteration == 0 or state.iteration % CURVATURE_EVERY:
        return
    objective = step_objective(problem, config, state.lower_steps, 0, state.w[0])
    second_order = configured_oracle(config, state.fitted)
    found = measured(objective, state.w, state.lam, state.direction, second_order, CURVATURE_AGAIN)
    value = found.value
    if config.lower.batch_size is not None or problem.stochastic:
        value = jt.maximum(value, constant(REMEMBERED, value) * state.curvature[0]).detach()
    state.curvature, state.direction = [value], found.direction


def largest_stable_rate(problem: BilevelProblem, config: SolveConfig, state: SolverState) -> float:
    """2(1 + μ)/L at ``state``, which is left as it is: with momentum μ, a larger lower step moves away from a minimum.

    L is measured by power iteration; infinity where the lower loss is flat. The bound on the step is that of the heavy
    ball method (Polyak, 1964).
    """
    objective = step_objective(problem, config, state.lower_steps, 0, state.w[0])
    found = first_curvature(config, objective, state.w, state.lam, state.oracle)
    curvature = float(found.curvature.value.numpy()[0])
    return 2 * (1 + config.lower.momentum) / curvature if curvature > 0 else math.inf
