"""What every contender does around its own iteration: read the case, answer the driver's lines on standard input.

The driver writes ``run N``; the contender does N iterations, waits for the device, and returns one line of JSON
with the seconds that they took, its peak resident size, and the last upper loss and hypergradient norm.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]
# Runs n iterations to the end, and returns the upper loss and the norm of the hypergradient of the last.
Iterate = Callable[[int], tuple[float, float]]


def layers(arrays: Arrays) -> list[np.ndarray[Any, Any]]:
    """W0, b0, W1, b1, … of the start."""
    count = sum(name.startswith("W") for name in arrays)
    return [arrays[f"{letter}{layer}"] for layer in range(count) for letter in "Wb"]


def serve(prepare: Callable[[Arrays, dict[str, Any]], Iterate]) -> None:
    """Load the case named on the command line, prepare, and serve the driver until standard input ends."""
    case = json.loads(sys.argv[1])
    # Results go to a private copy of standard output: some contenders print while they work.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with np.load(case["path"]) as file:
        arrays = {name: file[name] for name in file.files}
    iterate = prepare(arrays, case)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        count = int(line.split()[1])
        started, computing = time.perf_counter(), time.process_time()
        upper_loss, norm = iterate(count)
        seconds, processor = time.perf_counter() - started, time.process_time() - computing
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"seconds": seconds, "processor_seconds": processor, "iterations": count, "peak_mb": peak}
        answer |= {"upper_loss": upper_loss, "norm": norm}
        print(json.dumps(answer), file=answers, flush=True)


def batches(rows: int, size: int | None, seed: int = 0) -> Callable[[], np.ndarray[Any, Any] | None]:
    """A function that returns the next mini-batch's rows, or ``None`` for full batches."""
    if size is None:
        return lambda: None
    random, order = np.random.default_rng(seed), np.empty(0, dtype=np.int64)

    def following() -> np.ndarray[Any, Any]:
        nonlocal order
        if len(order) < size:
            order = random.permutation(rows)
        batch, order = order[:size], order[size:]
        return batch

    return following
