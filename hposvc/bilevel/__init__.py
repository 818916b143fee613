"""Bilevel optimization with hypergradients by finite differences, on Jittor.

Pure functions over explicit state: nothing here knows of jobs, HTTP or databases. A notebook needs three lines:

    problem = ReweightingProblem(train=(X, y), upper_rows=(Xv, yv), n_classes=10)
    state = initial_state(problem, config := SolveConfig())
    iterations = [i for batch in solve(problem, config, state) for i in batch]

:class:`ModuleProblem` takes models, losses and data of one's own. ``jt`` is Jittor, set up when it is first used.
"""

from hposvc.bilevel.config import (
    Aggregation,
    Implicit,
    LowerConfig,
    OneStep,
    SolveConfig,
    Stop,
    Unrolled,
    UpperConfig,
)
from hposvc.bilevel.convolution import CNN
from hposvc.bilevel.iteration import Diverged, Iteration
from hposvc.bilevel.loss_error import LossError
from hposvc.bilevel.losses import CrossEntropy, Huber, SquaredError
from hposvc.bilevel.lower import largest_stable_rate
from hposvc.bilevel.models import MLP, Linear, Outputs
from hposvc.bilevel.module_problem import ModuleProblem
from hposvc.bilevel.noise_matrix import NoiseMatrixProblem
from hposvc.bilevel.optimizers import Schedule
from hposvc.bilevel.problem import BilevelProblem, Rows, UpperValue
from hposvc.bilevel.regularization import RegularizationProblem
from hposvc.bilevel.reweighting import ReweightingProblem
from hposvc.bilevel.runtime import jt
from hposvc.bilevel.solve import hypergradient, solve
from hposvc.bilevel.state import SolverState, initial_state
from hposvc.bilevel.train import Fit, Scores, evaluate, fit, fit_likelihoods, fit_rows, predict

__all__ = [
    "CNN",
    "MLP",
    "Aggregation",
    "BilevelProblem",
    "CrossEntropy",
    "Diverged",
    "Fit",
    "Huber",
    "Implicit",
    "Iteration",
    "Linear",
    "LossError",
    "LowerConfig",
    "ModuleProblem",
    "NoiseMatrixProblem",
    "OneStep",
    "Outputs",
    "RegularizationProblem",
    "ReweightingProblem",
    "Rows",
    "Schedule",
    "Scores",
    "SolveConfig",
    "SolverState",
    "SquaredError",
    "Stop",
    "Unrolled",
    "UpperConfig",
    "UpperValue",
    "evaluate",
    "fit",
    "fit_likelihoods",
    "fit_rows",
    "hypergradient",
    "initial_state",
    "jt",
    "largest_stable_rate",
    "predict",
    "solve",
]
