"""Do the intervals of repeats hold what other splits show? As often as they promise, which is 95 in 100?

    python -m benchmarks.experiments.coverage --splits 60 --repeats 5

Solves a job of each set over many splits of its rows, as an experiment does. Takes them in groups of ``--repeats``. The
interval of each group, for the difference of the model that is handed over to each rival, either holds the mean of all
other splits or not; differences that are all equal have none. Prints the share that does, by set. A mean of 55 splits
is not exact itself: with perfect intervals for groups of 5, about 94 in 100 hold it.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from typing import Any

import numpy as np

from hposvc.experiments.repeated import interval
from hposvc.run.run import Run
from hposvc.schema.spec import JobSpec

REWEIGHTING = {"kind": "data_reweighting", "stop": {"iterations": 60}}
SETS: dict[str, dict[str, Any]] = {
    "iris": REWEIGHTING | {"dataset": {"id": "sklearn:iris", "label_noise": {"rate": 0.3}}},
    "wine": REWEIGHTING | {"dataset": {"id": "sklearn:wine", "label_noise": {"rate": 0.3}}},
    "breast_cancer": REWEIGHTING | {"dataset": {"id": "sklearn:breast_cancer", "label_noise": {"rate": 0.3}}},
    "diabetes": {
        "kind": "regularization_tuning",
        "dataset": {"id": "sklearn:diabetes"},
        "stop": {"iterations": 60},
    },
}


def differences(fields: dict[str, Any], splits: int) -> dict[str, list[float]]:
    """By rival: the test score of the model that is handed over minus the rival's, over so many splits."""
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(splits):
        dataset = fields["dataset"] | {"split": {"seed": seed}}
        run = Run(JobSpec.model_validate(fields | {"dataset": dataset}))
        for _ in run.iterations():
            pass
        ours, *rivals = run.finish().result["models"]
        for rival in rivals:
            found[rival["name"]].append(ours["test_score"] - rival["test_score"])
    return {name: values for name, values in found.items() if len(values) == splits}


def held(values: list[float], repeats: int) -> list[bool]:
    """Whether the interval of each group of ``repeats`` values holds the mean of all others, where it has one."""
    found = []
    for group in np.array_split(np.arange(len(values)), len(values) // repeats):
        said = interval([values[place] for place in group])
        others = statistics.fmean(value for place, value in enumerate(values) if place not in group)
        if said is not None and said.low is not None and said.high is not None:
            found.append(said.low <= others <= said.high)
    return found


def main() -> None:
    """Print the share of intervals that hold, by set, and the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    options = parser.parse_args()
    everything: list[bool] = []
    for name in options.sets:
        by_rival = differences(SETS[name], options.splits)
        hits = {rival: held(values, options.repeats) for rival, values in by_rival.items() if len(set(values)) > 1}
        everything += [hit for each in hits.values() for hit in each]
        for rival, each in hits.items():
            mean = statistics.fmean(by_rival[rival])
            print(f"{name:14}{rival:18}{mean:+9.4f}  held {sum(each):3} of {len(each)}", flush=True)
    print(f"all: {np.mean(everything):.2f} of {len(everything)} intervals")


if __name__ == "__main__":
    main()
