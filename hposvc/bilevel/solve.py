"""The outer loop: lower steps, hypergradient, upper step, as a generator over an explicit state.

    state = initial_state(problem, config)
    for batch in solve(problem, config, state):
        for iteration in batch: ...

Values are read from the device once per batch. Whoever stops iterating pauses: ``state`` is whole at every yield, and
:meth:`SolverState.to_bytes` saves it. Whatever is random or ordered is a function of the seed and a counter in the
state, so a run that was stopped and resumed is bit-identical on the CPU to one that was not, mid-epoch too.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from hposvc.bilevel.curvature import power_iteration, random_direction, stable_rate
from hposvc.bilevel.hypergradient import (
    Method,
    Objective,
    Point,
    Response,
    SecondOrder,
    aggregated,
    detach,
    implicit,
    lower_step,
    unrolled,
)
from hposvc.bilevel.models import Var, constant, device_array
from hposvc.bilevel.optimizers import (
    CONSTANT,
    Moments,
    Schedule,
    UpperOptimizer,
    clip,
    initial_moments,
    project,
    update,
)
from hposvc.bilevel.oracle import Oracle, balanced_factor
from hposvc.bilevel.problem import Precision, Problem, squared_norm
from hposvc.bilevel.runtime import jt
from hposvc.bilevel.train import fit

FLUSH_ITERATIONS, FLUSH_SECONDS = 50, 0.5

# The lower curvature is measured again this often: strengths change it as they move, by up to e^0.1 an iteration
# (UPPER_STEP), and a step of 1/L is stable until L has doubled.
CURVATURE_EVERY, CURVATURE_FIRST, CURVATURE_AGAIN = 5, 20, 2

# The automatic radius is adapted this often, and at the first iteration until it is balanced.
RADIUS_EVERY, RADIUS_ROUNDS = 100, 8

# So many hypergradients of exactly zero in a row end the run. Looked at where values are read whatever the clock says.
ZERO_ITERATIONS = 10

# An automatic upper rate moves no entry of λ by more than this in the first step; Adam's steps keep that scale.
UPPER_STEP = 0.1


@dataclass(frozen=True)
class OneStep:
    """Differentiate the single lower step of an iteration, as DARTS does."""


@dataclass(frozen=True)
class Unrolled:
    """Differentiate through the last ``truncate`` lower steps of an iteration; None means all of them."""

    truncate: int | None = None


@dataclass(frozen=True)
class Implicit:
    """Differentiate the solution of the lower level, as if ``Lower.steps`` reached it: ``terms`` products with H_ww."""

    method: Method = "neumann"
    terms: int = 10


@dataclass(frozen=True)
class Aggregation:
    """Gradient descent aggregation: lower step k = 0, 1, … of an iteration descends α_k f + (1 − α_k) F.

    α_k = alpha_init · alpha_decay^k, with 0 < alpha_init < 1 and 0 < alpha_decay ≤ 1.
    """

    alpha_init: float = 0.5
    alpha_decay: float = 1.0


@dataclass(frozen=True)
class Lower:
    """How the model moves between two upper steps: SGD with momentum, continuing from where it was."""

    learning_rate: float | Literal["auto"] = "auto"
    momentum: float = 0.0
    steps: int = 1
    batch_size: int | None = None
    schedule: Schedule = CONSTANT


@dataclass(frozen=True)
class Upper:
    """How λ moves along the hypergradient. ``clip_norm`` bounds ‖h‖, ``bounds`` every entry of λ."""

    optimizer: UpperOptimizer = "adam"
    learning_rate: float | Literal["auto"] = "auto"
    bounds: tuple[float, float] | None = None
    clip_norm: float | None = None
    schedule: Schedule = CONSTANT


@dataclass(frozen=True)
class Stop:
    """The first rule that holds ends the run; ``SolverState.stopped_by`` names it.

    Besides these, ``zero_hypergradient``: λ has had no influence for ``ZERO_ITERATIONS``, and waiting gives it none.
    """

    iterations: int = 500
    max_seconds: float | None = None
    patience: int | None = None
    min_delta: float = 0.0
    hypergradient_tolerance: float | None = None


@dataclass(frozen=True)
class SolveConfig:
    """Everything about a run that is not the problem.

    ``radius`` None is automatic and adapts. ``certify_every`` n stores the error of every n-th hypergradient with its
    iteration: against twice the radius, or against the exact oracle. ``dynamic_initialization`` is the learning rate of
    the lower start, which is then learned too and from which each iteration begins; otherwise an iteration goes on from
    the w of the one before. ``warm_start`` begins with the lower level solved at the initial λ.

    Raises:
        ValueError: a combination that the formulas do not cover; the message says which and what to use.
    """

    estimator: OneStep | Unrolled | Implicit = OneStep()
    oracle: Oracle = "finite_difference"
    radius: float | None = None
    lower: Lower = Lower()
    upper: Upper = Upper()
    stop: Stop = Stop()
    dynamic_initialization: float | None = None
    aggregation: Aggregation | None = None
    certify_every: int = 0
    certify_against: Literal["wider_radius", "exact"] = "wider_radius"
    warm_start: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        problem = uncovered(self.estimator, self.lower.steps, self.dynamic_initialization, self.aggregation)
        if problem is not None:
            raise ValueError(problem)

    @property
    def counted(self) -> int:
        """How many of the last lower steps of an iteration are differentiated."""
        truncate = self.estimator.truncate if isinstance(self.estimator, Unrolled) else None
        return self.lower.steps if truncate is None else truncate


def uncovered(
    estimator: OneStep | Unrolled | Implicit,
    steps: int,
    dynamic_initialization: float | None,
    aggregation: Aggregation | None,
) -> str | None:
    """Why no formula covers this combination, or None."""
    if isinstance(estimator, OneStep) and steps != 1:
        return (
            f"one_step differentiates one lower step, not {steps}: use unrolled, with truncate 1 to count only the last"
        )
    if isinstance(estimator, Unrolled) and estimator.truncate is not None:
        if estimator.truncate > steps:
            return f"unrolled cannot count {estimator.truncate} of {steps} lower steps: lower truncate or raise steps"
        if dynamic_initialization is not None and estimator.truncate < steps:
            return "dynamic initialization differentiates back to the start: use unrolled without truncate"
    if isinstance(estimator, Implicit):
        if dynamic_initialization is not None:
            return (
                "the solution of the lower level does not depend on its start: use unrolled with dynamic initialization"
            )
        if aggregation is not None:
            return "implicit assumes a solution of the lower level, which aggregation does not seek: use unrolled"
    return None


@dataclass(frozen=True)
class Iteration:
    """One iteration, counted from 1. The losses are those of the point that was differentiated.

    ``upper_loss`` is F(w, λ) where the hypergradient was taken; ``lower_loss`` that of the last lower step, before it;
    ``upper_score`` accuracy or R² on the upper rows; ``fd_relative_error`` the error bar where certified; ``seconds``
    the solver's own time up to the end of this iteration.
    """

    iteration: int
    upper_loss: float
    hypergradient_norm: float
    lower_loss: float
    upper_score: float
    selection_loss: float | None
    fd_relative_error: float | None
    seconds: float


class Diverged(RuntimeError):
    """A loss or hypergradient became infinite or NaN. ``values`` holds them by name, ``iteration`` says when."""

    def __init__(self, iteration: int, values: dict[str, float]) -> None:
        listed = ", ".join(f"{name} = {value:g}" for name, value in values.items())
        super().__init__(
            f"The run diverged at iteration {iteration}: {listed}. "
            "Use a smaller learning rate (or leave it automatic), or bounds on λ."
        )
        self.iteration = iteration
        self.values = values


@dataclass
class SolverState:
    """Everything a run needs to go on. Arrays live on the device; the rest are plain numbers.

    ``best_lam`` is the λ of ``best_iteration``: the best by ``best_value``, the selection loss where there are
    selection rows and otherwise the upper loss.
    """

    w: list[Var]
    velocity: list[Var]
    lam: list[Var]
    first_moment: list[Var]
    second_moment: list[Var]
    best_lam: list[Var]
    direction: list[Var]
    curvature: list[Var]
    iteration: int = 0
    lower_steps: int = 0
    upper_rate: float | None = None
    radius_factor: float = 1.0
    best_iteration: int = 0
    best_value: float = math.inf
    patience_value: float = math.inf
    patience_iteration: int = 0
    zero_iterations: int = 0
    seconds: float = 0.0
    stopped_by: str | None = None
    dtype: Precision = field(default="float32")

    def to_bytes(self) -> bytes:
        """The state as safetensors: arrays by name, numbers as JSON in the header."""
        arrays = {f"{name}.{i}": array.numpy() for name in _ARRAYS for i, array in enumerate(getattr(self, name))}
        return bytes(save(arrays, metadata={"numbers": json.dumps({name: getattr(self, name) for name in _NUMBERS})}))

    @classmethod
    def from_bytes(cls, data: bytes) -> SolverState:
        """The state that :meth:`to_bytes` saved. Raises ValueError if ``data`` is not one."""
        try:
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            numbers = json.loads(header["__metadata__"]["numbers"])
            arrays = load(data)
        except Exception as error:
            raise ValueError(f"not a saved solver state: {error}") from error
        lists: dict[str, list[Var]] = {name: [] for name in _ARRAYS}
        for key in sorted(arrays, key=lambda key: int(key.rpartition(".")[2])):
            lists[key.rpartition(".")[0]].append(device_array(arrays[key], numbers["dtype"]))
        return cls(**{**lists, **numbers}).settled()

    def settled(self) -> SolverState:
        """Itself, with every array computed: a pending one is fused into the next kernels, and rounds differently."""
        jt.sync([array for name in _ARRAYS for array in getattr(self, name)])
        return self


_ARRAYS = ("w", "velocity", "lam", "first_moment", "second_moment", "best_lam", "direction", "curvature")
_NUMBERS = tuple(name for name in SolverState.__dataclass_fields__ if name not in _ARRAYS)


def initial_state(problem: Problem, config: SolveConfig) -> SolverState:
    """The state before the first iteration: a fresh model, the initial λ, and the curvature for an automatic rate.

    Raises:
        ValueError: the problem has dropout, which no formula of the implicit estimator covers.
    """
    if problem.stochastic and isinstance(config.estimator, Implicit):
        raise ValueError(
            "implicit differentiates the solution of one objective, and dropout makes another of each step: "
            "use one_step or unrolled, or no dropout"
        )
    dtype = problem.dtype
    start, start_lam = problem.initial_w(_rng(config, "w")), problem.initial_lambda()
    if config.warm_start:
        start = fit(problem, start_lam, w=start).w
    w = [device_array(a, dtype) for a in start]
    lam = [device_array(a, dtype) for a in start_lam]
    moments = initial_moments(config.upper.optimizer, lam)
    state = SolverState(
        w=w,
        velocity=[jt.zeros_like(a) for a in w] if config.lower.momentum else [],
        lam=lam,
        first_moment=moments.first,
        second_moment=moments.second,
        best_lam=lam,
        direction=[],
        curvature=[],
        dtype=dtype,
    )
    if config.lower.learning_rate == "auto":
        _begin_curvature(problem, config, state)
    return state.settled()


def largest_stable_rate(problem: Problem, config: SolveConfig, state: SolverState) -> float:
    """2(1 + μ)/L at ``state``, which is left as it is: with momentum μ, a larger lower step moves away from a minimum.

    L is measured by power iteration; infinity where the lower loss is flat.
    """
    probe = replace(state)
    _begin_curvature(problem, config, probe)
    curvature = float(probe.curvature[0].numpy()[0])
    return 2 * (1 + config.lower.momentum) / curvature if curvature > 0 else math.inf


def solve(problem: Problem, config: SolveConfig, state: SolverState) -> Iterator[list[Iteration]]:
    """Run from ``state`` until a stopping rule holds, yielding iterations in batches; ``state`` advances in place.

    Raises:
        Diverged: after everything up to and including the offending iteration was yielded.
    """
    pending: list[_Pending] = []
    began = flushed = time.monotonic()
    before = state.seconds
    while state.stopped_by is None:
        if state.iteration >= config.stop.iterations:
            state.stopped_by = "iterations"
            break
        pending.append(_iterate(problem, config, state))
        now = time.monotonic()
        pending[-1] = pending[-1]._replace(seconds=before + now - began)
        state.seconds = before + now - began
        due = (
            state.iteration % FLUSH_ITERATIONS == 0
            or state.iteration == ZERO_ITERATIONS
            or state.iteration >= config.stop.iterations
            or now - flushed >= FLUSH_SECONDS
            or _reads_each(config.stop)
        )
        if not due:
            continue
        records, failure = _read(pending, state)
        pending = []
        flushed = now
        state.stopped_by = _rule(config.stop, state, records[-1])
        yield records
        if failure is not None:
            raise failure
        # The time spent by whoever takes the records is not the solver's.
        began, before = time.monotonic(), state.seconds


class _Pending(NamedTuple):
    """An iteration whose values are still on the device, and the λ it was taken at."""

    iteration: int
    values: dict[str, Var]
    lam: list[Var]
    seconds: float


def hypergradient(problem: Problem, config: SolveConfig, state: SolverState) -> list[Var]:
    """dF/dλ at ``state`` as the next iteration would estimate it, shaped like λ. ``state`` is left as it is."""
    descent = _descend(problem, config, state)
    value = problem.upper(descent.w, state.lam)
    gradients = detach(jt.grad(value.loss, [*descent.w, *state.lam]))
    upper_gradient, direct = gradients[: len(descent.w)], gradients[len(descent.w) :]
    response = _response(problem, config, state, descent, upper_gradient)
    factor = _radius_factor(config, state, descent.points[-1], upper_gradient, response)
    through_w = response(_second_order(config, factor)).hypergradient
    return detach([a + b for a, b in zip(direct, through_w, strict=True)])


class _Descent(NamedTuple):
    """The lower steps of one iteration: where the counted ones began, and where they ended."""

    points: list[Point]
    w: list[Var]
    velocity: list[Var]
    loss: Var


def _descend(problem: Problem, config: SolveConfig, state: SolverState) -> _Descent:
    lower = config.lower
    momentum = _momentum(config, state)
    rate = _lower_rate(config, state)
    w, velocity = state.w, state.velocity
    points: list[Point] = []
    for k in range(lower.steps):
        objective = _objective(problem, config, state, k)
        step = lower_step(objective, w, velocity, state.lam, rate, momentum=momentum, keep=lower.steps == 1)
        w, velocity = step.w, step.velocity
        points = [*points, step.point][-config.counted :]
        if lower.steps > 1:
            jt.sync([*w, *velocity])  # one graph per step
    return _Descent(points, w, velocity, step.loss)


def _response(
    problem: Problem, config: SolveConfig, state: SolverState, descent: _Descent, upper_gradient: list[Var]
) -> Callable[[SecondOrder], Response]:
    """The estimator of this run, at these points, as a function of the oracle."""
    estimator = config.estimator
    if isinstance(estimator, Implicit):
        objective = _lower_objective(problem, None)  # the theorem is about all rows, not about a batch
        point = Point(objective, descent.w, _lower_rate(config, state), objective.lift(descent.w))
        return lambda second_order: implicit(
            point, state.lam, upper_gradient, second_order, method=estimator.method, terms=estimator.terms
        )
    return lambda second_order: unrolled(
        descent.points,
        state.lam,
        upper_gradient,
        second_order,
        momentum=_momentum(config, state),
        with_start=config.dynamic_initialization is not None,
    )


def _iterate(problem: Problem, config: SolveConfig, state: SolverState) -> _Pending:
    """One upper iteration; with one lower step a single lazy graph, and nothing read unless the radius adapts."""
    upper = config.upper
    if config.lower.learning_rate == "auto" and state.iteration and state.iteration % CURVATURE_EVERY == 0:
        _measure_curvature(problem, config, state, CURVATURE_AGAIN)

    lam = state.lam
    descent = _descend(problem, config, state)
    value = problem.upper(descent.w, lam)
    gradients = detach(jt.grad(value.loss, [*descent.w, *lam]))
    upper_gradient, direct = gradients[: len(descent.w)], gradients[len(descent.w) :]
    response = _response(problem, config, state, descent, upper_gradient)
    state.radius_factor = _radius_factor(config, state, descent.points[-1], upper_gradient, response)
    through_w, start_gradient = response(_second_order(config, state.radius_factor))
    h = detach([a + b for a, b in zip(direct, through_w, strict=True)])

    values = {
        "upper_loss": value.loss,
        "hypergradient_norm": jt.sqrt(squared_norm(h)),
        "lower_loss": descent.loss,
        "upper_score": value.score,
    }
    selection = problem.selection_loss(descent.w)
    if selection is not None:
        values["selection_loss"] = selection
    if config.certify_every and (state.iteration + 1) % config.certify_every == 0:
        values["fd_relative_error"] = _relative_gap(through_w, response(_referee(config, state)).hypergradient)
    record = {name: each.detach() for name, each in values.items()}

    clipped = h if upper.clip_norm is None else clip(h, upper.clip_norm)
    moved, moments = update(
        upper.optimizer,
        lam,
        clipped,
        Moments(state.first_moment, state.second_moment),
        rate=_upper_rate(config, state, clipped),
        k=state.iteration + 1,
    )
    if upper.bounds is not None:
        moved = project(moved, upper.bounds)

    if config.dynamic_initialization is None:
        state.w, state.velocity = descent.w, descent.velocity
    else:
        rate = constant(config.dynamic_initialization, state.w[0])
        state.w = detach([a - rate * g for a, g in zip(state.w, start_gradient, strict=True)])
    state.lam = detach(moved)
    state.first_moment, state.second_moment = detach(moments.first), detach(moments.second)
    state.iteration += 1
    state.lower_steps += config.lower.steps
    jt.sync([*record.values(), *state.w, *state.velocity, *state.lam, *state.first_moment, *state.second_moment])
    return _Pending(state.iteration, record, lam, 0.0)


def _second_order(config: SolveConfig, factor: float) -> SecondOrder:
    return SecondOrder(config.oracle, config.radius, factor)


def _referee(config: SolveConfig, state: SolverState) -> SecondOrder:
    """What a hypergradient is certified against."""
    if config.certify_against == "exact":
        return SecondOrder("exact")
    return _second_order(config, 2 * state.radius_factor)


def _momentum(config: SolveConfig, state: SolverState) -> Var | None:
    return constant(config.lower.momentum, state.w[0]) if config.lower.momentum else None


def _objective(problem: Problem, config: SolveConfig, state: SolverState, k: int) -> Objective:
    """The objective of lower step k = 0, 1, … of the coming iteration."""
    step = state.lower_steps + k
    rows = batch_rows(problem.lower_rows, config.lower.batch_size, config.seed, step)
    objective = _lower_objective(problem, rows, (config.seed, step, 2))
    if config.aggregation is None:
        return objective
    alpha = constant(config.aggregation.alpha_init * config.aggregation.alpha_decay**k, state.w[0])
    upper = Objective(lift=list, loss=lambda w, lam: problem.upper(w, lam).loss)
    return aggregated(objective, upper, alpha)


def _lower_objective(problem: Problem, rows: NDArray[np.int64] | None, key: tuple[int, ...] | None = None) -> Objective:
    batch = problem.lower_batch(rows, key)
    return Objective(
        lift=lambda w: problem.lift(w, batch), loss=lambda u, lam: problem.lower_loss(u, lam, batch), move=problem.moved
    )


def batch_rows(rows: int, batch_size: int | None, seed: int, step: int) -> NDArray[np.int64] | None:
    """The rows of a lower step: each epoch is a fresh permutation cut into whole batches, less the remainder."""
    if batch_size is None or batch_size >= rows:
        return None
    epoch, position = divmod(step, rows // batch_size)
    order = np.random.default_rng([seed, epoch, 1]).permutation(rows)
    return order[position * batch_size : (position + 1) * batch_size]


def _rng(config: SolveConfig, purpose: str) -> np.random.Generator:
    return np.random.default_rng([config.seed, *purpose.encode()])


def _begin_curvature(problem: Problem, config: SolveConfig, state: SolverState) -> None:
    state.direction = random_direction([a.numpy() for a in state.w], _rng(config, "direction"), state.dtype)
    if config.radius is None and config.oracle == "finite_difference":
        state.radius_factor = _radius_for_curvature(problem, config, state)
    _measure_curvature(problem, config, state, CURVATURE_FIRST)


def _measure_curvature(problem: Problem, config: SolveConfig, state: SolverState, steps: int) -> None:
    """Of what the coming step descends: its batch, and with dropout the units that it keeps."""
    objective = _objective(problem, config, state, 0)
    point = Point(objective, state.w, constant(1.0, state.w[0]), objective.lift(state.w))
    found = power_iteration(point, state.lam, state.direction, _second_order(config, state.radius_factor), steps)
    state.curvature, state.direction = [found.value], found.direction


def _radius_for_curvature(problem: Problem, config: SolveConfig, state: SolverState) -> float:
    objective = _objective(problem, config, state, 0)
    point = Point(objective, state.w, constant(1.0, state.w[0]), objective.lift(state.w))

    def product(second_order: SecondOrder) -> Response:
        return Response(second_order.products(point, state.lam, state.direction, mixed=False, hessian=True).hessian, [])

    return _fitted(product, _balanced(objective, state.w, state.direction))


def _lower_rate(config: SolveConfig, state: SolverState) -> Var:
    scheduled = config.lower.schedule(state.iteration, config.stop.iterations)
    if config.lower.learning_rate == "auto":
        margin = 1.0 if config.lower.batch_size is None else 0.5  # one batch curves more than all rows do
        return stable_rate(state.curvature[0], margin * scheduled)
    return constant(config.lower.learning_rate * scheduled, state.w[0])


def _upper_rate(config: SolveConfig, state: SolverState, h: list[Var]) -> float:
    if state.upper_rate is None:
        if config.upper.learning_rate != "auto":
            state.upper_rate = config.upper.learning_rate
        elif config.upper.optimizer == "adam":
            state.upper_rate = UPPER_STEP
        else:
            largest = max(float(np.abs(a.numpy()).max()) for a in h)
            state.upper_rate = UPPER_STEP / largest if largest > 0 else UPPER_STEP
    return state.upper_rate * config.upper.schedule(state.iteration, config.stop.iterations)


def _relative_gap(a: list[Var], b: list[Var]) -> Var:
    """‖a − b‖ / ‖a‖, shape (1,); zero where both are."""
    gap = jt.sqrt(squared_norm([x - y for x, y in zip(a, b, strict=True)]))
    norm = jt.sqrt(squared_norm(a))
    return gap / jt.maximum(norm, constant(float(np.finfo(str(norm.dtype)).tiny), norm))


def _radius_factor(
    config: SolveConfig,
    state: SolverState,
    point: Point,
    upper_gradient: list[Var],
    response: Callable[[SecondOrder], Response],
) -> float:
    """The factor of the automatic radius for the coming hypergradient, adapted where it is due."""
    if config.oracle == "exact" or config.radius is not None or state.iteration % RADIUS_EVERY:
        return state.radius_factor
    if state.iteration:
        return _adapted(response, state.radius_factor, 1).factor
    return _fitted(response, _balanced(point.objective, point.w, upper_gradient))


def _balanced(objective: Objective, w: list[Var], p: list[Var]) -> float:
    jt.sync([*w, *p])  # read in one go, as in every later call
    return balanced_factor(w, objective.lift(w), p, objective.lift(p))


class _Radius(NamedTuple):
    """A factor of the automatic radius, and how much the product changes at half or twice that radius."""

    factor: float
    gap: float


def _fitted(response: Callable[[SecondOrder], Response], balanced: float) -> float:
    """The factor to begin with: adapted from 1 and, where it is far from that, from ``balanced``."""
    starts = (1.0,) if 0.25 <= balanced <= 4 else (1.0, balanced)
    return min((_adapted(response, start, RADIUS_ROUNDS) for start in starts), key=lambda found: found.gap).factor


def _adapted(response: Callable[[SecondOrder], Response], factor: float, rounds: int) -> _Radius:
    """The radius factor, halved or doubled until truncation and rounding balance.

    Between r/2, r and 2r the product changes by a quarter as much on the narrow side where truncation (∝ r²) rules, and
    by twice as much where rounding (∝ 1/r) does.
    """

    @cache  # a factor and its double have two of three radii in common
    def product(factor: float) -> list[Var]:
        return detach(response(SecondOrder(factor=factor)).hypergradient)

    gap = math.inf
    for _ in range(rounds):
        narrow, middle, wide = (product(factor * scale) for scale in (0.5, 1.0, 2.0))
        below, above = (float(_relative_gap(middle, other).numpy()[0]) for other in (narrow, wide))
        if not (math.isfinite(below) and math.isfinite(above)):
            break
        gap = max(below, above)
        if gap > 0 and below < 0.35 * above:
            factor *= 0.5
        elif gap > 0 and below > 1.4 * above:
            factor *= 2.0
        else:
            break
    return _Radius(factor, gap)


def _read(pending: list[_Pending], state: SolverState) -> tuple[list[Iteration], Diverged | None]:
    """The values of pending iterations, up to the first that is not finite; updates what the rules look at."""
    records = []
    for item in pending:
        values = {name: float(value.numpy()[0]) for name, value in item.values.items()}
        records.append(
            Iteration(
                iteration=item.iteration,
                upper_loss=values["upper_loss"],
                hypergradient_norm=values["hypergradient_norm"],
                lower_loss=values["lower_loss"],
                upper_score=values["upper_score"],
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


def _reads_each(stop: Stop) -> bool:
    """Whether a rule looks at values: they are then read every iteration, so that it does not depend on timing."""
    return stop.patience is not None or stop.hypergradient_tolerance is not None


def _rule(stop: Stop, state: SolverState, last: Iteration) -> str | None:
    """The name of the rule that ends the run after ``last``, if any."""
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
