"""Pausing a job and going on: the numbers are those of a job that was never paused.

python examples/resuming.py http://127.0.0.1:8080
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from hposvc.client import Client, ProblemError
from hposvc.schema.job import JobResource
from hposvc.schema.states import TERMINAL

ITERATIONS = int(os.environ.get("ITERATIONS", "2000"))


def until_it_stands(client: Client, job_id: str) -> JobResource:
    """The job once it is paused or over."""
    while (job := client.job(job_id)).state not in {*TERMINAL, "paused"}:
        time.sleep(0.1)
    return job


def main(url: str, _: Path) -> None:
    """Two jobs of one specification, one of them interrupted."""
    spec = {"kind": "data_reweighting", "dataset": {"id": "sklearn:wine"}, "stop": {"iterations": ITERATIONS}}
    with Client(url) as client:
        first = client.submit({**spec, "name": "interrupted"})
        while client.job(first.id).progress.iteration < 1 and client.job(first.id).state not in TERMINAL:
            time.sleep(0.05)
        try:
            client.pause(first.id)
            print(f"stopped at iteration {until_it_stands(client, first.id).progress.iteration}")
            client.resume(first.id)
        except ProblemError as error:  # it was faster than we are
            print(error)
        second = client.submit({**spec, "name": "in one go"})
        losses = []
        for job in (first, second):
            done = client.wait(job.id, interval=0.1)
            assert done.state == "succeeded", done.error
            losses.append(client.iterations(job.id, limit=100_000).upper_loss)
        assert losses[0] == losses[1]
        print(f"{len(losses[0])} upper losses are the same, bit for bit")


if __name__ == "__main__":
    main(sys.argv[1], Path())
