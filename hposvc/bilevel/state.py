"""The state of a run: everything that it needs to go on, how it begins, and its form as bytes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

from safetensors.numpy import load, save

from hposvc.bilevel.arrays import Precision, Var, device_array
from hposvc.bilevel.config import Implicit, SolveConfig
from hposvc.bilevel.curvature import first_curvature
from hposvc.bilevel.objectives import lower_objective, step_objective
from hposvc.bilevel.optimizers import initial_moments
from hposvc.bilevel.oracle import Oracle
from hposvc.bilevel.problem import BilevelProblem
from hposvc.bilevel.radius import Fitted, initial_oracle
from hposvc.bilevel.runtime import jt
from hposvc.bilevel.train import fit
from hposvc.copyable import Copyable
from hposvc.files.tensors import metadata


class SeriesDiverges(Copyable, ValueError):
    """The Neumann series diverges at the lower learning rate. ``remedy`` says what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"lower.learning_rate: {message}; {remedy}")
        self.message = message
        self.remedy = remedy


@dataclass
class SolverState:
    """Everything a run needs to go on. Arrays live on the device; the rest are plain numbers.

    ``w`` and ``velocity`` are the model and its momentum, ``lam`` is λ, and the moments are those of the upper
    optimizer. ``curvature`` is the last measurement of the largest |eigenvalue| of H_ww along ``direction``, both empty
    where the lower rate is given. ``lower_steps`` counts the lower steps of the whole run. ``oracle`` is the
    one in use, at ``radius_factor`` times the radius. ``best_lam`` is the λ of
    ``best_iteration``: the best by ``best_value``, the selection loss where there are selection rows and otherwise the
    upper loss. The rules of :class:`Stop` look at ``patience_value``, the best upper loss so far by at least
    ``min_delta``, at its iteration, and at ``zero_iterations``, how many hypergradients in a row were zero.
    ``stopped_by`` names the rule that ended the run.
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
    oracle: Oracle = "finite_difference"
    radius_factor: float = 1.0
    best_iteration: int = 0
    best_value: float = math.inf
    patience_value: float = math.inf
    patience_iteration: int = 0
    zero_iterations: int = 0
    seconds: float = 0.0
    stopped_by: str | None = None
    dtype: Precision = field(default="float32")

    @property
    def fitted(self) -> Fitted:
        """The oracle in use and the factor of its radius."""
        return Fitted(self.oracle, self.radius_factor)

    def to_bytes(self) -> bytes:
        """The state as safetensors: arrays by name, numbers as JSON in the header."""
        arrays = {f"{name}.{i}": array.numpy() for name in _ARRAYS for i, array in enumerate(getattr(self, name))}
        return bytes(save(arrays, metadata={"numbers": json.dumps({name: getattr(self, name) for name in _NUMBERS})}))

    @classmethod
    def from_bytes(cls, data: bytes) -> SolverState:
        """The state that :meth:`to_bytes` saved. Raises ValueError if ``data`` is not one."""
        try:
            numbers = json.loads(metadata(data)["numbers"])
            arrays = load(data)
            keys = sorted(arrays, key=lambda key: int(key.rpartition(".")[2]))
        except Exception as error:
            raise ValueError(f"not a saved solver state: {error}") from error
        unknown = ({*numbers} - {*_NUMBERS}) | ({key.rpartition(".")[0] for key in keys} - {*_ARRAYS})
        if unknown:
            raise ValueError(f"not a saved solver state of this release: it holds {', '.join(sorted(unknown))}")
        lists: dict[str, list[Var]] = {name: [] for name in _ARRAYS}
        for key in keys:
            lists[key.rpartition(".")[0]].append(device_array(arrays[key], numbers["dtype"]))
        try:
            state = cls(**{**lists, **numbers})
        except TypeError as error:  # something is missing
            raise ValueError(f"not a saved solver state of this release: {error}") from error
        return state.computed()

    def computed(self) -> SolverState:
        """Itself, with every array computed: a pending one is fused into the next kernels, and rounds differently."""
        jt.sync([array for name in _ARRAYS for array in getattr(self, name)])
        return self


_ARRAYS = ("w", "velocity", "lam", "first_moment", "second_moment", "best_lam", "direction", "curvature")
_NUMBERS = tuple(name for name in SolverState.__dataclass_fields__ if name not in _ARRAYS)


def initial_state(problem: BilevelProblem, config: SolveConfig) -> SolverState:
    """The state before the first iteration: a fresh model, the initial λ, and the curvature for an automatic rate.

    Raises:
        ValueError: the problem has dropout, which no formula of the implicit estimator covers.
        SeriesDiverges: the lower rate is too large for a Neumann series.
    """
    if problem.stochastic and isinstance(config.estimator, Implicit):
        raise ValueError(
            "implicit differentiates the solution of one objective, and dropout makes another of each step: "
            "use one_step or unrolled, or no dropout"
        )
    dtype = problem.dtype
    start, start_lam = problem.initial_w(config.rng("w")), problem.initial_lambda()
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
        oracle=initial_oracle(config, differences_suit=problem.smooth and not problem.convex),
        dtype=dtype,
    )
    if config.lower.learning_rate == "auto":
        objective = step_objective(problem, config, 0, 0, w[0])
        first = first_curvature(config, objective, w, lam, state.oracle)
        state.curvature, state.direction = [first.curvature.value], first.curvature.direction
        state.radius_factor = first.fitted.factor
    elif isinstance(config.estimator, Implicit) and config.estimator.method == "neumann":
        _check_neumann(problem, config, state)
    return state.computed()


def _check_neumann(problem: BilevelProblem, config: SolveConfig, state: SolverState) -> None:
    """Refuse a lower rate at which the Neumann series, that of I − ξ H_ww over all rows, diverges at the start."""
    found = first_curvature(config, lower_objective(problem, None), state.w, state.lam, state.oracle)
    rate, largest = float(config.lower.learning_rate), 2 / max(float(found.curvature.value.numpy()[0]), 1e-30)
    if rate > largest:
        raise SeriesDiverges(
            f"the Neumann series of the implicit estimator diverges at {rate:g}, which is above {largest:.3g}, 2 over "
            "the largest curvature of the lower loss",
            "leave it automatic, use at most half of that, or, for a linear model, conjugate gradient (cg)",
        )
