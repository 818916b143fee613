"""What a search finds beside the defaults, and what successive halving saves of it, on a service that runs.

    python -m benchmarks.experiments.search http://127.0.0.1:8080 --trials 40

Searches model and weight decay with and without successive halving. Both searches draw the same values, so the best
trial of the one is a trial of the other. The job without any setting comes first. Prints for each the lowest selection
loss with the test score and test loss of that trial, the share of the iterations that was saved, jobs a minute, and the
share of the time that the solvers took.
"""

from __future__ import annotations

import argparse
from typing import Any

from hposvc.client import Client

SETTINGS = {
    "model": {"choices": [{"type": "linear"}, {"type": "mlp", "hidden": [32]}, {"type": "mlp", "hidden": [128]}]},
    "solver.lower.weight_decay": {"low": 1e-5, "high": 0.1, "log": True},
}
SETS = ["sklearn:digits", "sklearn:breast_cancer", "sklearn:wine"]


def plans(trials: int, iterations: int) -> dict[str, dict[str, Any]]:
    """The defaults as a grid of one job, and the search without and with a pruner."""
    search = {"type": "search", "sampler": "random", "parameters": SETTINGS, "jobs": trials}
    return {
        "defaults": {"type": "grid", "parameters": {"stop.iterations": {"choices": [iterations]}}},
        "search": search | {"pruner": "none"},
        "search, successive halving": search | {"pruner": "successive_halving"},
    }


def run(client: Client, dataset: str, iterations: int, plan: dict[str, Any]) -> str:
    """Carry the plan out, and what it found in a line."""
    job = {
        "kind": "data_reweighting",
        "dataset": {"id": dataset, "label_noise": {"rate": 0.3}},
        "stop": {"iterations": iterations},
    }
    done = client.experiments.wait(client.experiments.submit({"job": job, "plan": plan, "at_once": 2}).id)
    assert done.result is not None
    assert done.result.best is not None
    assert done.finished_at is not None
    minutes = (done.finished_at - done.created_at).total_seconds() / 60
    found = list(client.experiments.trials(done.id))
    best = found[done.result.best.number]
    saved = 1 - done.result.iterations / done.result.planned_iterations
    solving = sum(trial.seconds or 0 for trial in found) / (60 * minutes)
    return (
        f"trial {best.number:3}  selection loss {best.value:.4f}  test score {best.test_score:.4f}  "
        f"test loss {best.test_loss:.4f}  iterations saved {saved:4.0%}  {len(found) / minutes:5.1f} jobs a minute  "
        f"solving {solving:4.0%}"
    )


def main() -> None:
    """Print a line for each set and plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--datasets", nargs="+", default=SETS)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--iterations", type=int, default=200)
    options = parser.parse_args()
    with Client(options.url) as client:
        for dataset in options.datasets:
            for name, plan in plans(options.trials, options.iterations).items():
                print(f"{dataset:22}{name:28}{run(client, dataset, options.iterations, plan)}", flush=True)


if __name__ == "__main__":
    main()
