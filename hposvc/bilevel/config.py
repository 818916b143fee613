"""What a run is told: the estimator, both levels, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from hposvc.bilevel.hypergradient import Method
from hposvc.bilevel.optimizers import CONSTANT, Schedule, UpperOptimizer
from hposvc.bilevel.oracle import Oracle
from hposvc.formulas import Estimator, uncovered


@dataclass(frozen=True)
class OneStep:
    """Differentiate the single lower step of an iteration, as DARTS does (Liu, Simonyan and Yang, ICLR 2019)."""

    name: ClassVar[Estimator] = "one_step"


@dataclass(frozen=True)
class Unrolled:
    """Differentiate through the last ``truncate`` lower steps of an iteration; None means all of them."""

    name: ClassVar[Estimator] = "unrolled"
    truncate: int | None = None


@dataclass(frozen=True)
class Implicit:
    """Differentiate the solution of the lower level, as if the lower steps reached it: ``terms`` products with H_ww."""

    name: ClassVar[Estimator] = "implicit"
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
class LowerConfig:
    """How the model moves between two upper steps: SGD with momentum, continuing from where it was."""

    learning_rate: float | Literal["auto"] = "auto"
    momentum: float = 0.0
    steps: int = 1
    batch_size: int | None = None
    schedule: Schedule = CONSTANT


@dataclass(frozen=True)
class UpperConfig:
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

    ``oracle`` auto is exact for linear models and for relu, and for others once finite differences err too much; with a
    ``radius`` it is finite differences (:mod:`hposvc.bilevel.radius`). ``radius`` None is automatic and adapts.
    ``certify_every`` n stores the error of every n-th hypergradient with its iteration: against the exact oracle, or
    against twice the radius. ``dynamic_initialization`` is the learning rate of the lower start, which is then learned
    too and from which each iteration begins; otherwise an iteration goes on from the w of the one before.
    ``warm_start`` begins with the lower level solved at the initial λ.

    Raises:
        ValueError: a combination that the formulas do not cover; the message says which and what to use.
    """

    estimator: OneStep | Unrolled | Implicit = OneStep()
    oracle: Oracle | Literal["auto"] = "auto"
    radius: float | None = None
    lower: LowerConfig = LowerConfig()
    upper: UpperConfig = UpperConfig()
    stop: Stop = Stop()
    dynamic_initialization: float | None = None
    aggregation: Aggregation | None = None
    certify_every: int = 0
    certify_against: Literal["exact", "wider_radius"] = "exact"
    warm_start: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        reason = uncovered(
            self.estimator.name,
            steps=self.lower.steps,
            truncate=self._truncate,
            dynamic_initialization=self.dynamic_initialization is not None,
            aggregation=self.aggregation is not None,
        )
        if reason is not None:
            raise ValueError(reason)

    @property
    def _truncate(self) -> int | None:
        return self.estimator.truncate if isinstance(self.estimator, Unrolled) else None

    @property
    def differentiated_steps(self) -> int:
        """How many of the last lower steps of an iteration are differentiated."""
        return self.lower.steps if self._truncate is None else self._truncate

    def rng(self, purpose: str) -> np.random.Generator:
        """Random numbers of this seed, a sequence for each ``purpose``."""
        return np.random.default_rng([self.seed, *purpose.encode()])
