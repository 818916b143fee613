"""Bilevel optimization with hypergradients by finite differences, on Jittor.

Pure functions over explicit state: nothing here knows of jobs, HTTP or databases. A notebook needs three lines:

    problem = ReweightingProblem(train=(X, y), upper_rows=(Xv, yv), n_classes=10)
    state = initial_state(problem, config := SolveConfig())
    iterations = [i for batch in solve(problem, config, state) for i in batch]
"""

from hposvc.bilevel.convolution import CNN
from hposvc.bilevel.losses import CrossEntropy, Huber, SquaredError
from hposvc.bilevel.models import MLP, Linear
from hposvc.bilevel.noise_matrix import NoiseMatrixProblem
from hposvc.bilevel.optimizers import Schedule
from hposvc.bilevel.problem import Problem, Rows
from hposvc.bilevel.regularization import RegularizationProblem
from hposvc.bilevel.reweighting import ReweightingProblem
from hposvc.bilevel.solve import (
    Aggregation,
    Diverged,
    Implicit,
    Iteration,
    Lower,
    OneStep,
    SolveConfig,
    SolverState,
    Stop,
    Unrolled,
    Upper,
    hypergradient,
    initial_state,
    largest_stable_rate,
    solve,
)
from hposvc.bilevel.train import Fit, Scores, evaluate, fit, fit_likelihoods, fit_rows, predict

__all__ = [
    "CNN",
    "MLP",
    "Aggregation",
    "CrossEntropy",
    "Diverged",
    "Fit",
    "Huber",
    "Implicit",
    "Iteration",
    "Linear",
    "Lower",
    "NoiseMatrixProblem",
    "OneStep",
    "Problem",
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
    "Upper",
    "evaluate",
    "fit",
    "fit_likelihoods",
    "fit_rows",
    "hypergradient",
    "initial_state",
    "largest_stable_rate",
    "predict",
    "solve",
]
