"""How good are the results of jobs that name only the kind and the data, and which settings reach them soonest?

The first two print the tables of docs/decisions/guarding-the-upper-level.md. ``solvers`` gives every estimator and
oracle the same seconds of solving on the same rows; run it where nobody else computes.

python -m benchmarks.defaults reweighting [--seeds 3] [--first-seed 0]
python -m benchmarks.defaults regularization [--seeds 10] [--first-seed 0] [--noise-columns 200]
python -m benchmarks.defaults solvers [--seeds 2] [--first-seed 0] [--seconds 5] [--sets wine digits]
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss, mean_squared_error

from hposvc import training_data
from hposvc.run.run import Outcome, Run
from hposvc.schema.spec import JobSpec
from hposvc.training_data import Dataset

REWEIGHTING_SETS = ("digits", "wine", "breast_cancer", "iris")
REGULARIZATION_SETS = ("breast_cancer", "wine", "digits", "diabetes")
KINDS: dict[str, dict[str, Any]] = {
    "weights of rows": {"kind": "data_reweighting", "hyperparameters": {"per": "row"}},
    "strengths": {"kind": "regularization_tuning"},
}
MODELS: dict[str, dict[str, Any]] = {
    "linear": {"type": "linear"},
    "relu": {"type": "mlp", "hidden": [32]},
    "tanh": {"type": "mlp", "hidden": [32], "activation": "tanh"},
}
SOLVERS: dict[str, dict[str, Any]] = {
    "one step": {},
    "one step, exact": {"oracle": "exact"},
    "unrolled, 5 steps": {"estimator": "unrolled", "lower": {"steps": 5}},
    "unrolled, 5 steps, exact": {"estimator": "unrolled", "lower": {"steps": 5}, "oracle": "exact"},
    "unrolled, 20 steps": {"estimator": "unrolled", "lower": {"steps": 20}},
    "Neumann": {"estimator": "implicit"},
}


def solve(spec: JobSpec, dataset: Dataset | None = None) -> Outcome:
    """The outcome of one job in this process."""
    run = Run(spec, dataset=dataset)
    for _ in run.iterations():
        pass
    return run.finish()


def reweighting(seeds: range) -> None:
    """F1 of finding planted errors, test accuracy and test loss beside the rivals; 10 % trusted rows."""
    print("| data | noise | F1 | tuned | all rows | trusted only | both |\n|---|---|---|---|---|---|---|")
    for name in REWEIGHTING_SETS:
        found = defaultdict(list)
        for rate in (0.4, 0.6):
            for seed in seeds:
                outcome = solve(
                    JobSpec.model_validate(
                        {
                            "kind": "data_reweighting",
                            "dataset": {
                                "id": f"sklearn:{name}",
                                "split": {"train": 0.7, "validation": 0.1, "test": 0.2, "seed": seed},
                                "label_noise": {"rate": rate, "seed": seed},
                            },
                        }
                    )
                )
                models = {model["name"]: model for model in outcome.result["models"]}
                rivals = [models[rival] for rival in ("tuned", "all_rows", "trusted_only", "both")]
                losses = [(rival["test_score"], rival["test_loss"]) for rival in rivals]
                found[f"{rate:.0%}"].append([(outcome.result["noise"]["f1"], np.nan), *losses])
        found["mean"] = [row for rows in list(found.values()) for row in rows]
        for noise, rows in found.items():
            f1, *judged = np.mean(rows, axis=0)
            cells = [f"{f1[0]:.3f}", *(f"{score:.3f} ({loss:.3f})" for score, loss in judged)]
            print(f"| {name} | {noise} | " + " | ".join(cells) + " |", flush=True)


def regularization(seeds: range, noise_columns: int) -> None:
    """Mean test loss beside no penalty, the best single strength, and scikit-learn on the same rows."""
    print("| data | tuned | no penalty | single strength | cross-validated |\n|---|---|---|---|---|")
    for name in REGULARIZATION_SETS:
        rows = []
        for seed in seeds:
            spec = JobSpec.model_validate(
                {
                    "kind": "regularization_tuning",
                    "dataset": {"id": f"sklearn:{name}", "split": {"seed": seed}},
                }
            )
            dataset = with_noise(training_data.load(spec.dataset), noise_columns, seed)
            outcome = solve(spec, dataset)
            losses = {model["name"]: model["test_loss"] for model in outcome.result["models"]}
            row = [losses[model] for model in ("tuned", "no_penalty", "single_strength")]
            rows.append(
                [*row, cross_validated(training_data.prepare(dataset, spec).splits, dataset.classes is not None)]
            )
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in np.mean(rows, axis=0)) + " |", flush=True)


def solvers(seeds: range, seconds: float, sets: list[str]) -> None:
    """Mean of the lowest upper loss and of the test loss of the tuned model, after the same seconds of solving."""
    print(f"| kind, model, data | {' | '.join(SOLVERS)} |\n|{'---|' * (len(SOLVERS) + 1)}")
    for kind, name, dataset in itertools.product(KINDS, MODELS, sets):
        cells = []
        for solver in SOLVERS.values():
            _after(seconds, KINDS[kind], MODELS[name], dataset, solver, seeds[0])  # kernels that are compiled first
            found = [_after(seconds, KINDS[kind], MODELS[name], dataset, solver, seed) for seed in seeds]
            upper, test = np.mean(found, axis=0)
            cells.append(f"{upper:.4f} ({test:.4f})")
        print(f"| {kind}, {name}, {dataset} | " + " | ".join(cells) + " |", flush=True)


def _after(
    seconds: float, job: dict[str, Any], model: dict[str, Any], dataset: str, solver: dict[str, Any], seed: int
) -> tuple[float, float]:
    spec = job | {
        "dataset": {"id": f"sklearn:{dataset}", "split": {"seed": seed}},
        "model": model,
        "solver": solver | {"seed": seed},
        "stop": {"iterations": 1_000_000, "max_seconds": seconds},
    }
    result = solve(JobSpec.model_validate(spec)).result
    losses = {model["name"]: model["test_loss"] for model in result["models"]}
    return result["upper_loss"]["best"], losses["tuned"]


def with_noise(dataset: Dataset, columns: int, seed: int) -> Dataset:
    """``dataset`` with that many columns of standard normal noise."""
    noise = np.random.default_rng([seed, columns]).normal(size=(len(dataset.targets), columns))
    names = tuple(f"noise {i}" for i in range(columns))
    return replace(
        dataset, features=np.hstack([dataset.features, noise]), feature_names=(*dataset.feature_names, *names)
    )


def cross_validated(splits: training_data.Splits, classes: bool) -> float:
    """Test loss of LogisticRegressionCV or RidgeCV, which learn from the training and validation rows."""
    parts = [part for part in (splits.train, splits.validation, splits.selection) if part is not None]
    features, targets = np.vstack([p.features for p in parts]), np.concatenate([p.targets for p in parts])
    if not classes:
        ridge = RidgeCV(np.logspace(-3, 4, 30)).fit(features, targets)
        return float(mean_squared_error(splits.test.targets, ridge.predict(splits.test.features)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegressionCV(cv=5, scoring="neg_log_loss", max_iter=1000).fit(features, targets)
    return float(log_loss(splits.test.targets, model.predict_proba(splits.test.features), labels=model.classes_))


def main() -> None:
    """Run one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("reweighting", "regularization", "solvers"))
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--first-seed", type=int, default=0, help="the defaults were chosen with seeds from 0 on")
    parser.add_argument("--noise-columns", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0, help="of solving, for each of the solvers")
    parser.add_argument("--sets", nargs="+", default=["wine", "breast_cancer", "digits"], help="for the solvers")
    arguments = parser.parse_args()
    seeds = arguments.seeds or {"reweighting": 3, "regularization": 10, "solvers": 2}[arguments.table]
    chosen = range(arguments.first_seed, arguments.first_seed + seeds)
    if arguments.table == "reweighting":
        reweighting(chosen)
    elif arguments.table == "solvers":
        solvers(chosen, arguments.seconds, arguments.sets)
    else:
        regularization(chosen, arguments.noise_columns)


if __name__ == "__main__":
    main()
