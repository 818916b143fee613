"""Compile Jittor and the kernels of a tiny job of each kind: ``python -m hposvc.bilevel.kernels [cpu|cuda]``.

Jittor compiles a kernel for each pattern of operations when it first meets one, about a second each, and keeps it on
disk. Patterns do not depend on sizes, so that jobs of a dozen rows spare real ones the wait. Progress goes to standard
output as ``Compiling kernels(k/n)``, in the form of Jittor's own ``Compiling jittor_core(k/n)``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hposvc.bilevel import runtime
from hposvc.bilevel.config import LowerConfig, SolveConfig, Stop
from hposvc.bilevel.models import MLP, Linear, Model
from hposvc.bilevel.noise_matrix import NoiseMatrixProblem
from hposvc.bilevel.problem import Supervised
from hposvc.bilevel.regularization import RegularizationProblem
from hposvc.bilevel.reweighting import ReweightingProblem
from hposvc.bilevel.solve import solve
from hposvc.bilevel.state import initial_state
from hposvc.bilevel.train import evaluate, fit, fit_likelihoods, fit_rows

ROWS, FEATURES, CLASSES = 12, 5, 3
ITERATIONS = 6  # past the first renewed measurement of the curvature

Job = tuple[Supervised, SolveConfig]


def jobs() -> Iterator[Job]:
    """One tiny job for each combination that a default spec can lead to, the most common first."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(ROWS, FEATURES))
    labels = np.arange(ROWS) % CLASSES
    numbers = rng.normal(size=ROWS)
    plain = SolveConfig(stop=Stop(iterations=ITERATIONS), certify_every=5)
    warm = SolveConfig(stop=Stop(iterations=ITERATIONS), certify_every=5, warm_start=True)
    batches = SolveConfig(stop=Stop(iterations=ITERATIONS), lower=LowerConfig(batch_size=ROWS // 2))

    models: tuple[Model, ...] = (Linear(), MLP((4,)))
    for model in models:
        for targets, classes in ((labels, CLASSES), (numbers, None)):
            rows = (features, targets)
            reweighting = ReweightingProblem(
                train=rows, upper_rows=rows, selection=rows, model=model, n_classes=classes, weight_decay=1e-3
            )
            regularization = RegularizationProblem(
                train=rows, upper_rows=rows, selection=rows, model=model, n_classes=classes, shrinkage=1e-3
            )
            yield reweighting, plain
            yield reweighting, warm
            yield replace(reweighting, per="group", row_groups=np.arange(ROWS) % CLASSES), warm
            yield regularization, warm
            yield reweighting, batches
            if classes is not None:
                for noisy in (False, True):
                    yield (
                        NoiseMatrixProblem(
                            train=rows,
                            upper_rows=rows,
                            selection=None if noisy else rows,
                            model=model,
                            n_classes=classes,
                            weight_decay=1e-3,
                            shrinkage=1e-3,
                            start=np.full((CLASSES, CLASSES), 1 / CLASSES),
                            upper_noisy=noisy,
                        ),
                        warm,
                    )


def run(job: Job) -> None:
    """Solve, refit and score, as a real job does."""
    problem, config = job
    state = initial_state(problem, config)
    for _ in solve(problem, config, state):
        pass
    state.to_bytes()
    lam = [array.numpy() for array in state.lam]
    if problem.n_classes is not None:
        values = np.full((problem.lower_rows, problem.n_classes), 1 / problem.n_classes)
        noisy = np.arange(problem.lower_rows) % 2 == 0
        fit_likelihoods(problem.model, problem.train[0], values, noisy, penalty=1.0, iterations=3)
    for trained in (
        fit(problem, lam, iterations=3),
        fit_rows(problem.model, problem.train, problem.n_classes, weight_decay=1e-3, iterations=3),
    ):
        evaluate(problem.model, trained.w, problem.upper_rows, problem.n_classes)


def main() -> None:
    """Start Jittor, compiling it if need be, and run every tiny job."""
    runtime.start("cuda" if sys.argv[1:] == ["cuda"] else "cpu")
    todo = list(jobs())
    for done, job in enumerate(todo):
        sys.stdout.write(f"Compiling kernels({done}/{len(todo)})\n")
        sys.stdout.flush()
        run(job)
    sys.stdout.write(f"Compiling kernels({len(todo)}/{len(todo)})\n")


if __name__ == "__main__":
    main()
