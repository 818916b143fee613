"""What successive halving saves: the same random search with and without it, on a service that runs.

    python -m benchmarks.experiments.pruning http://127.0.0.1:8080 --trials 16

Both draw the same values, so the best trial of the one is a trial of the other. Prints the lowest selection loss of
each, the iterations that were saved, jobs a minute, and the share of the time that the solvers took.
"""

from __future__ import annotations

import argparse
from typing import Any

from hposvc.client import Client

SETTINGS = {
    "model": {"choices": [{"type": "linear"}, {"type": "mlp", "hidden": [32]}, {"type": "mlp", "hidden": [128]}]},
    "solver.lower.weight_decay": {"low": 1e-5, "high": 0.1, "log": True},
}


def run(client: Client, dataset: str, trials: int, iterations: int, pruner: str) -> dict[str, Any]:
    """A search and its figures."""
    job = {
        "kind": "data_reweighting",
        "dataset": {"id": dataset, "label_noise": {"rate": 0.3}},
        "stop": {"iterations": iterations},
    }
    plan = {"type": "search", "sampler": "random", "parameters": SETTINGS, "jobs": trials, "pruner": pruner}
    done = client.experiments.wait(client.experiments.submit({"job": job, "plan": plan, "at_once": 2}).id)
    assert done.result is not None
    assert done.finished_at is not None
    minutes = (done.finished_at - done.created_at).total_seconds() / 60
    found = list(client.experiments.trials(done.id))
    best = done.result.best
    return {
        "best": None if best is None else (best.number, best.value),
        "test": None if best is None else found[best.number].test_score,
        "saved": 1 - done.result.iterations / done.result.planned_iterations,
        "jobs a minute": trials / minutes,
        "solving": sum(trial.seconds or 0 for trial in found) / (60 * minutes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--datasets", nargs="+", default=["sklearn:digits"])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=200)
    options = parser.parse_args()
    with Client(options.url) as client:
        for dataset in options.datasets:
            for pruner in ("none", "successive_halving"):
                print(dataset, pruner, run(client, dataset, options.trials, options.iterations, pruner), flush=True)


if __name__ == "__main__":
    main()
