"""Trials on one data set, with a runner that stays for the next one and with a new runner for each.

    python -m benchmarks.experiments.trials --trials 100 --new 10

Digits, 500 iterations, weight decay drawn anew for each trial. Half of the ``--new`` trials come before the others and
half after them. Prints trials a minute, and the time of all of it over the time of the iterations alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.service_overhead import WORKER
from hposvc.db import migrate
from hposvc.db.engine import create_engine
from hposvc.jobs import queries
from hposvc.jobs.service import Jobs
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import TERMINAL, State
from hposvc.settings import Settings

RUNNER = "from workers import runner; runner.MOST_JOBS = 1; runner.serve(runner.prepare, runner.explain)"
NEW = f"import sys; from workers import start; start.RUNNER = (sys.executable, '-c', {RUNNER!r})\n{WORKER}"


def spec(weight_decay: float) -> JobSpec:
    """A trial."""
    return JobSpec.model_validate(
        {
            "kind": "data_reweighting",
            "dataset": {"id": "sklearn:digits", "label_noise": {"rate": 0.3}},
            "hyperparameters": {"per": "noise_matrix"},
            "solver": {"lower": {"weight_decay": weight_decay}},
            "stop": {"iterations": 500},
        }
    )


def run(worker: str, weight_decays: Sequence[float]) -> tuple[float, float]:
    """Seconds from the first claim to the last end, and those of the iterations, of one worker with a queue."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(data_dir=Path(directory))
        migrate.upgrade(settings.database_url)
        engine = create_engine(settings.database_url)
        jobs = Jobs(engine)
        ids = [jobs.submit(spec(decay)).id for decay in weight_decays]
        process = subprocess.Popen([sys.executable, "-c", worker, directory, settings.database_url])
        try:
            while (last := queries.get(engine, ids[-1])).state not in TERMINAL:
                if (status := process.poll()) is not None:
                    raise RuntimeError(f"the worker ended with status {status}")
                time.sleep(0.5)
        finally:
            process.terminate()
            process.wait()
        done = [queries.get(engine, job_id) for job_id in ids]
        engine.dispose()
    failed = [job for job in done if job.state is not State.SUCCEEDED]
    if failed:
        raise RuntimeError(f"{len(failed)} jobs did not succeed: {failed[0].error}")
    assert last.finished_at is not None
    begun = min(job.started_at for job in done if job.started_at is not None)
    solving = sum(job.result["seconds"] for job in done if job.result is not None)
    return (last.finished_at - begun).total_seconds(), solving


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--new", type=int, default=10)
    options = parser.parse_args()
    drawn = np.exp(np.random.default_rng(0).uniform(np.log(1e-4), np.log(0.1), options.trials + options.new)).tolist()
    half, stays = options.new // 2, drawn[options.new :]
    found: dict[str, list[tuple[int, float, float]]] = {"new": [], "stays": []}
    for name, worker, decays in (
        ("new", NEW, drawn[:half]),
        ("stays", WORKER, stays),
        ("new", NEW, drawn[half : options.new]),
    ):
        if decays:
            found[name].append((len(decays), *run(worker, decays)))
    for name, runs in found.items():
        trials, seconds, solving = (sum(column) for column in zip(*runs, strict=True))
        print(f"{name:6}{trials:5} trials  {60 * trials / seconds:6.1f} a minute  {seconds / solving:5.2f} x solving")


if __name__ == "__main__":
    main()
