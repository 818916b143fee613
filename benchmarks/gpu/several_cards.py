"""What would a second card bring to one job? A sketch by two processes: ``python -m benchmarks.gpu.several_cards``.

Nothing of the solver runs on several cards. If it did, each card would hold a part of the training and of the upper
rows. An iteration then adds up two arrays of the size of the model over all cards: the gradient of the lower step, and
that of the upper loss. The two evaluations of the finite difference end in sums over rows of the training part. Weights
of rows stay where the rows are; strengths and noise matrices add up as many numbers as there are λ.

Here a process with one thread stands for a card. Prints the milliseconds of an iteration with all rows in one process,
with half of them in each of two processes that run at once, and of adding up the arrays through shared memory; and the
speed-up that follows. Medians of rounds, by turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np

from benchmarks.solver import cases
from benchmarks.solver.__main__ import CONTENDERS, Running, started, written
from hposvc.machine.arithmetic import processor

CASES = ("linear", "mlp-256", "mlp-1024", "rows-200k")
SUMS = 2
TIMES = 200


def parameters(case: cases.Case) -> int:
    """Numbers in the model."""
    sizes = [case.columns, *case.hidden, case.classes]
    return sum((below + 1) * above for below, above in pairwise(sizes))


def halves(case: cases.Case) -> cases.Case:
    """What each of two cards would hold of the case."""
    return replace(case, rows=case.rows // 2, validation_rows=(case.validation_rows or case.rows) // 2)


def add_up(names: tuple[str, str], rank: int, numbers: int, barrier: Barrier) -> float:
    """Seconds of adding up an array of two processes in both: each adds one half, and copies the other."""
    memories = [SharedMemory(name) for name in names]
    arrays = [np.ndarray(numbers, dtype=np.float32, buffer=memory.buf) for memory in memories]
    half = [slice(0, numbers // 2), slice(numbers // 2, numbers)]
    begun = 0.0
    for turn in range(TIMES + 1):
        if turn == 1:
            begun = time.perf_counter()
        barrier.wait()
        arrays[rank][half[rank]] += arrays[1 - rank][half[rank]]
        barrier.wait()
        arrays[rank][half[1 - rank]] = arrays[1 - rank][half[1 - rank]]
    taken = (time.perf_counter() - begun) / TIMES
    del arrays
    for memory in memories:
        memory.close()
    return taken


def sum_seconds(numbers: int) -> float:
    """Seconds until two processes have the sum of an array of each."""
    context = get_context("spawn")
    memories = [SharedMemory(create=True, size=4 * numbers) for _ in range(2)]
    barrier = context.Barrier(2)
    names = (memories[0].name, memories[1].name)
    other = context.Process(target=add_up, args=(names, 1, numbers, barrier))
    other.start()
    taken = add_up(names, 0, numbers, barrier)
    other.join()
    for memory in memories:
        memory.close()
        memory.unlink()
    return taken


def together(running: list[Running], iterations: int) -> float:
    """Milliseconds of an iteration of processes that run at once: of the slower one."""
    for each in running:
        each.begin(iterations)
    return max(1000 * each.end()["seconds"] / iterations for each in running)


def measure(name: str, rounds: int, iterations: int) -> str:
    """A line of the table."""
    whole, ours = cases.CASES[name], [CONTENDERS[0]]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two, ExitStack() as stack:
        alone = started(written(whole, Path(one), 1), whole, ours, stack)
        half = halves(whole)
        pair = [*started(written(half, Path(two), 1), half, ours, stack)]
        pair += started(written(half, Path(two), 1), half, ours, stack)
        together(alone, 3)
        together(pair, 3)
        times = [(together(alone, iterations), together(pair, iterations)) for _ in range(rounds)]
    before, after = (statistics.median(each) for each in zip(*times, strict=True))
    added = 1000 * SUMS * sum_seconds(parameters(whole))
    cells = [f"{milliseconds:.2f}" for milliseconds in (before, after, added)]
    return f"| {name} | {parameters(whole):,} | {' | '.join(cells)} | {before / (after + added):.2f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--iterations", type=int, default=10)
    options = parser.parse_args()
    print(f"{processor()}, one thread for each process, {datetime.now(UTC).date()}")
    print("\n| case | numbers in the model | ms, one process | ms, two with half the rows | ms, sums | times as fast |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    for name in CASES:
        print(measure(name, options.rounds, options.iterations), flush=True)


if __name__ == "__main__":
    main()
