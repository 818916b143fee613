"""How long does a default job on wrong labels take before its first iteration, and after its last?

Processor seconds in this process, medians of three jobs. Their seeds differ, so that none finds the analysis of
another.

OMP_NUM_THREADS=1 python -m benchmarks.answers.preparing [--tables iris,wine] [--models linear,mlp]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from hposvc.run.run import Run
from hposvc.schema.spec import JobSpec

JOBS = 3


def seconds(table: str, model: str, trusted: str, seed: int) -> tuple[float, float, float]:
    """Of starting, solving and finishing one job whose labels are wrong in a fifth of the rows."""
    dataset = {"id": f"sklearn:{table}", "trusted": trusted, "label_noise": {"rate": 0.2}}
    fields = {"dataset": dataset, "model": {"type": model}, "solver": {"seed": seed}}
    spec = JobSpec.model_validate({"kind": "data_reweighting", **fields})
    times = [time.process_time()]
    run = Run(spec)
    times.append(time.process_time())
    for _ in run.iterations():
        pass
    times.append(time.process_time())
    run.finish()
    times.append(time.process_time())
    start, solve, finish = np.diff(times)
    return float(start), float(solve), float(finish)


def main() -> None:
    """Print the seconds by model, table and trusted rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default="iris,wine,breast_cancer")
    parser.add_argument("--models", default="linear,mlp")
    options = parser.parse_args()
    print(f"{'model':8}{'table':15}{'trusted':9}{'start':>7}{'solve':>7}{'finish':>7}")
    for model in options.models.split(","):
        seconds("iris", model, "split", JOBS)  # kernels are compiled and loaded
        for table in options.tables.split(","):
            for trusted in ("split", "unknown"):
                found = np.median([seconds(table, model, trusted, seed) for seed in range(JOBS)], axis=0)
                print(f"{model:8}{table:15}{trusted:9}" + "".join(f"{each:7.2f}" for each in found), flush=True)


if __name__ == "__main__":
    main()
