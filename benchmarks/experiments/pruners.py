"""What stopping poor trials early saves, and how often it keeps the best one, on a service that runs.

    python -m benchmarks.experiments.pruners http://127.0.0.1:8080 --trials 60

Runs a search of model and weight decay without a pruner, and then replays its curves: successive halving by factors of
three and two from several first looks, over orders of the trials that chance makes, each of two thirds of them. Prints
the share of the iterations that is saved, how often the best trial is found, and the mean of the lowest loss over the
one of all trials.
"""

from __future__ import annotations

import argparse

import numpy as np
import optuna

from benchmarks.experiments.search import SETS, SETTINGS
from hposvc.client import Client
from hposvc.experiments.curves import SLICES
from hposvc.schema.experiments import TrialResource

ORDERS = 30
PRUNERS = [(1, 3), (3, 3), (4, 2), (8, 2), (9, 3)]  # slices before the first look, and the factor


def replayed(trials: list[TrialResource], first: int, factor: int) -> tuple[float, float]:
    """The share of the iterations that is saved, and the lowest loss that is found, one trial after the other."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor)
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    done, lowest = 0, float("inf")
    for trial in trials:
        asked = study.ask()
        for step in range(1, SLICES):
            asked.report(trial.curve[step - 1], step)
            done += 1
            if asked.should_prune():
                study.tell(asked, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            done += 1
            study.tell(asked, trial.value)
            lowest = min(lowest, float(trial.value or 0))
    return 1 - done / (SLICES * len(trials)), lowest


def searched(client: Client, dataset: str, trials: int, iterations: int) -> list[TrialResource]:
    """The trials of a search that stops none."""
    job = {
        "kind": "data_reweighting",
        "dataset": {"id": dataset, "label_noise": {"rate": 0.3}},
        "stop": {"iterations": iterations},
    }
    plan = {"type": "search", "sampler": "random", "parameters": SETTINGS, "jobs": trials, "pruner": "none"}
    done = client.experiments.wait(client.experiments.submit({"job": job, "plan": plan, "at_once": 2}).id)
    return [trial for trial in client.experiments.trials(done.id) if trial.state == "succeeded"]


def main() -> None:
    """Print a line for each set and pruner."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--datasets", nargs="+", default=SETS)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with Client(options.url) as client:
        for dataset in options.datasets:
            trials = searched(client, dataset, options.trials, options.iterations)
            for first, factor in PRUNERS:
                found = []
                for seed in range(ORDERS):
                    order = np.random.default_rng(seed).permutation(len(trials))[: 2 * len(trials) // 3]
                    some = [trials[place] for place in order]
                    saved, lowest = replayed(some, first, factor)
                    found.append((saved, lowest / min(float(trial.value or 0) for trial in some)))
                saved, ratio = np.array(found).T
                print(
                    f"{dataset:22} first look after {first} of {SLICES}, factor {factor}: iterations saved "
                    f"{saved.mean():.0%}, best found {np.mean(ratio <= 1):.0%}, its loss {ratio.mean():.3f} x",
                    flush=True,
                )


if __name__ == "__main__":
    main()
