"""Time one upper iteration of this solver beside its peers: ``python -m benchmarks.solver --cases mlp-256 mlp-1024``.

Every contender is a process in an environment of its own, given the same arrays. Rounds are interleaved (one round
of each, in an order that turns), so that a drift of the machine's speed falls on all alike; what is printed is the
median over the rounds, the medians of the ratios to PyTorch in the same round, by double backward and by the same
finite differences, and the peak resident size. The bound is five products of the first layer's size at the rate that
oneDNN reaches here.

``make peers`` makes the environments; a peer that is not installed is named in the table as not run. ``--profile``
shows where the time of this solver goes instead, ``--growth N`` how the time of an iteration changes over N
iterations of one run, and ``--before FOLDER`` how much slower or faster it is than the checkout in that folder:

    git worktree add ../before 539d0dd^ && python -m benchmarks.solver --before ../before
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from benchmarks.solver import cases
from hposvc.machine.arithmetic import processor

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FOLDER = HERE.relative_to(ROOT)
EXACT, DIFFERENCES = "PyTorch, exact", "PyTorch, finite differences"


@dataclass(frozen=True)
class Contender:
    """A name in the table, the environment's interpreter, its script, and the variant that it runs."""

    name: str
    python: Path
    script: str
    variant: str
    kinds: tuple[str, ...] = ("data_reweighting", "regularization_tuning")
    mini_batches: bool = True
    checkout: Path = ROOT


TORCH, BOAT_JIT = ROOT / ".peers/torch/bin/python", ROOT / ".peers/boat-jit/bin/python"
JAX = ROOT / ".peers/jax/bin/python"
CONTENDERS = (
    Contender("hposvc, finite differences", Path(sys.executable), "hposvc_contender.py", "finite_difference"),
    Contender("hposvc, exact", Path(sys.executable), "hposvc_contender.py", "exact"),
    Contender(EXACT, TORCH, "torch_contender.py", "exact"),
    Contender(DIFFERENCES, TORCH, "torch_contender.py", "fd"),
    Contender("JAX, exact", JAX, "jax_contender.py", "exact"),
    Contender("JAX, finite differences", JAX, "jax_contender.py", "fd"),
    Contender("higher", TORCH, "torch_contender.py", "higher"),
    Contender("TorchOpt", TORCH, "torch_contender.py", "torchopt"),
    Contender("boat-torch", TORCH, "boat_torch_contender.py", "fd", ("data_reweighting",), mini_batches=False),
    Contender(
        "boat-jit, as shipped",
        BOAT_JIT,
        "boat_jit_contender.py",
        "as_shipped",
        ("data_reweighting",),
        mini_batches=False,
    ),
    Contender(
        "boat-jit, leak worked around",
        BOAT_JIT,
        "boat_jit_contender.py",
        "worked_around",
        ("data_reweighting",),
        mini_batches=False,
    ),
)


class Running:
    """A contender's process, which replies to ``run N`` with the seconds that N iterations took."""

    def __init__(self, contender: Contender, case: dict[str, Any]) -> None:
        self.contender = contender
        self.process = subprocess.Popen(
            [
                str(contender.python),
                str(contender.checkout / FOLDER / contender.script),
                json.dumps(case | {"variant": contender.variant}),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(case["threads"]), "PYTHONPATH": str(contender.checkout)},
        )
        self.end()

    def run(self, iterations: int) -> dict[str, Any]:
        self.begin(iterations)
        return self.end()

    def begin(self, iterations: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"run {iterations}\n")
        self.process.stdin.flush()

    def end(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):  # Jittor says on standard output what it compiles when first imported
            line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self.contender.name} ended with status {self.process.wait()}; run its script to see why"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def started(told: dict[str, Any], case: cases.Case, contenders: list[Contender], stack: ExitStack) -> list[Running]:
    """A process of every contender that is installed and runs this case; ``stack`` ends them."""
    return [
        stack.enter_context(Running(contender, told))
        for contender in contenders
        if contender.python.exists() and case.kind in contender.kinds and (contender.mini_batches or not case.batch)
    ]


def measure(
    case: cases.Case, contenders: list[Contender], threads: int, rounds: int, seconds: float, clock: str = "seconds"
) -> list[dict[str, Any]]:
    """Interleaved rounds of every contender that runs this case; a row for each, with medians and ratios."""
    times, peaks = timed(case, contenders, threads, rounds, seconds, clock)

    def ratio(series: list[float], reference: str) -> float | None:
        """Each round against the same round of the reference, for which the machine was as fast."""
        others = times.get(reference)
        return statistics.median(a / b for a, b in zip(series, others, strict=True)) if others else None

    return [
        {
            "case": case.name,
            "contender": name,
            "ms": 1e3 * statistics.median(series),
            "of_exact": ratio(series, EXACT),
            "of_differences": ratio(series, DIFFERENCES),
            "peak_mb": peaks[name],
        }
        for name, series in times.items()
    ]


def timed(
    case: cases.Case, contenders: list[Contender], threads: int, rounds: int, seconds: float, clock: str
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of an iteration in each round, and the peak size, of each contender; the rounds are interleaved."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        running = started(written(case, Path(folder), threads), case, contenders, stack)
        times: dict[str, list[float]] = {r.contender.name: [] for r in running}
        counts, peaks = {}, {}
        for r in running:
            r.run(3)
            warm = r.run(3)
            counts[r.contender.name] = max(1, min(200, int(seconds / (warm["seconds"] / 3))))
        for turn in range(rounds):
            for r in running[turn % len(running) :] + running[: turn % len(running)]:
                answer = r.run(counts[r.contender.name])
                times[r.contender.name].append(answer[clock] / answer["iterations"])
                peaks[r.contender.name] = answer["peak_mb"]
    return times, peaks


def against(
    before: Path, case: cases.Case, threads: int, rounds: int, seconds: float, clock: str = "seconds"
) -> Iterator[str]:
    """Rows of a table, one for each oracle: this checkout beside that in ``before``, with the ratio of each round."""
    for now in (contender for contender in CONTENDERS if contender.script == "hposvc_contender.py"):
        then = replace(now, name=f"{now.name}, before", checkout=before.resolve())
        times, _ = timed(case, [now, then], threads, rounds, seconds, clock)
        ratios = [a / b for a, b in zip(times[now.name], times[then.name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        old, new = (1e3 * statistics.median(times[each.name]) for each in (then, now))
        yield f"| {case.name} | {now.variant} | {old:.2f} | {new:.2f} | {middle:.3f} | {low:.3f} to {high:.3f} |"


def growth(case: cases.Case, contenders: list[Contender], threads: int, iterations: int) -> Iterator[str]:
    """A table, line by line: the milliseconds of an iteration in ten stretches of one run, contenders side by side."""
    length = max(1, iterations // 10)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        running = started(written(case, Path(folder), threads), case, contenders, stack)
        yield f"| {case.name}, iterations | {' | '.join(f'{r.contender.name}, ms' for r in running)} |"
        yield f"|---|{'---:|' * len(running)}"
        for begin in range(1, iterations + 1, length):
            answers = [r.run(length) for r in running]
            times = (f"{1e3 * answer['seconds'] / length:.2f}" for answer in answers)
            yield f"| {begin} to {begin + length - 1} | {' | '.join(times)} |"


def written(case: cases.Case, folder: Path, threads: int) -> dict[str, Any]:
    """The case's arrays in a file in ``folder``, and what a contender is told of it."""
    path = folder / "case.npz"
    cases.write(case, path)
    return cases.describe(case) | {
        "path": str(path),
        "threads": threads,
        "radius": cases.RADIUS,
        "lower_learning_rate": cases.LOWER_LEARNING_RATE,
    }


def profile(case: cases.Case, threads: int) -> str:
    """Where an iteration of this solver spends its time, as a table."""
    with tempfile.TemporaryDirectory() as folder:
        told = json.dumps(written(case, Path(folder), threads) | {"variant": "finite_difference"})
        return subprocess.run(
            [sys.executable, str(HERE / "hposvc_profile.py"), told],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        ).stdout


def matrix_rate(threads: int) -> float:
    """GFLOP/s of a square float32 product of 1,024 in the project's own oneDNN, best of several."""
    code = (
        "import time; from hposvc.bilevel import runtime; runtime.start(device='cpu', seed=0); import jittor as jt\n"
        "a = jt.randn(1024, 1024); b = jt.randn(1024, 1024); jt.matmul(a, b).sync(True); best = 1e9\n"
        "for _ in range(200):\n"
        "    t = time.perf_counter(); jt.matmul(a, b).sync(True); best = min(best, time.perf_counter() - t)\n"
        "print('RATE', 2 * 1024**3 / best / 1e9)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    ).stdout
    return float(out.split("RATE")[1])


def bound(case: cases.Case, rate: float) -> float | None:
    """Milliseconds of five products of the first layer's size: lower and upper, forward and backward, and T = XV."""
    if case.kind != "data_reweighting" or case.batch:
        return None
    width = case.hidden[0] if case.hidden else case.classes
    below = 2 * case.rows * case.columns * width
    above = 2 * (case.validation_rows or case.rows) * case.columns * width
    return (3 * below + 2 * above) / rate / 1e6


def heading(rate: float, threads: int) -> str:
    """What was measured on, and the head of the table."""
    return "\n".join(
        [
            f"{processor()}, {threads} threads, {datetime.now(UTC).date()}, oneDNN {rate:.0f} GFLOP/s at 1,024 × 1,024",
            "",
            "| case | contender | ms an iteration | × PyTorch exact | × PyTorch FD | peak MB | five products, ms |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
    )


def table(rows: list[dict[str, Any]], rate: float) -> str:
    """The rows of one case."""
    lines = []
    for row in rows:
        exact, differences = ("" if row[key] is None else f"{row[key]:.2f}" for key in ("of_exact", "of_differences"))
        products = bound(cases.CASES[row["case"]], rate)
        lines.append(
            f"| {row['case']} | {row['contender']} | {row['ms']:.2f} | {exact} | {differences} "
            f"| {row['peak_mb']:.0f} | {'' if products is None else f'{products:.1f}'} |"
        )
    return "\n".join(lines)


def _print_before(arguments: argparse.Namespace) -> None:
    print(f"{processor()}, {arguments.threads} threads, {datetime.now(UTC).date()}, {arguments.rounds} rounds")
    print("\n| case | oracle | before, ms | now, ms | now / before, median | half of the rounds |")
    print("|---|---|---:|---:|---:|---|", flush=True)
    timing = {name: getattr(arguments, name) for name in ("threads", "rounds", "seconds", "clock")}
    for name in arguments.cases:
        for line in against(arguments.before, cases.CASES[name], **timing):
            print(line, flush=True)


def _print_growth(arguments: argparse.Namespace, contenders: list[Contender]) -> None:
    print(f"{processor()}, {arguments.threads} threads, {datetime.now(UTC).date()}")
    for name in arguments.cases:
        print()
        for line in growth(cases.CASES[name], contenders, arguments.threads, arguments.growth):
            print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(cases.CASES), default=list(cases.CASES))
    parser.add_argument("--contenders", nargs="+", choices=[c.name for c in CONTENDERS], help="all, unless named")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for every contender alike")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one round of one contender")
    parser.add_argument(
        "--clock",
        choices=["seconds", "processor_seconds"],
        default="seconds",
        help="processor_seconds where others use the machine, too; with --threads 1, because waiting threads spin",
    )
    parser.add_argument("--profile", action="store_true", help="show where an iteration of this solver spends its time")
    parser.add_argument(
        "--growth", type=int, metavar="N", help="show how the time of an iteration changes over N of them"
    )
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="compare with an earlier checkout of this solver")
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    arguments = parser.parse_args()
    if arguments.profile:
        print(f"{processor()}, {arguments.threads} threads, {datetime.now(UTC).date()}")
        for name in arguments.cases:
            print(f"\n{profile(cases.CASES[name], arguments.threads)}", end="", flush=True)
        return
    if arguments.before:
        _print_before(arguments)
        return
    contenders = [c for c in CONTENDERS if not arguments.contenders or c.name in arguments.contenders]
    if arguments.growth:
        _print_growth(arguments, contenders)
        return
    rate = matrix_rate(arguments.threads)
    rows: list[dict[str, Any]] = []
    print(heading(rate, arguments.threads), flush=True)
    for name in arguments.cases:
        measured = measure(
            cases.CASES[name], contenders, arguments.threads, arguments.rounds, arguments.seconds, arguments.clock
        )
        print(table(measured, rate), flush=True)
        rows += measured
    missing = [contender.name for contender in contenders if not contender.python.exists()]
    if missing:
        print(f"\nNot run, because `make peers` has not installed them: {', '.join(missing)}.")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
