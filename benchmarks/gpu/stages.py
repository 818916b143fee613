"""The stages of the check, each a process: ``python -m benchmarks.gpu.stages NAME``. What it prints is its result."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

# On the stand-in, whose threads run one after the other, fewer rows and units do.
SIZE = {
    "rows": int(os.environ.get("GPU_CHECK_ROWS", "5000")),
    "columns": 784,
    "classes": 10,
    "hidden": int(os.environ.get("GPU_CHECK_HIDDEN", "256")),
}


def machine() -> None:
    """What compiling needs."""
    from hposvc.machine import cuda

    header = Path(sysconfig.get_paths()["include"], "Python.h")
    config = f"python{sys.version_info.major}.{sys.version_info.minor}-config"
    missing = [name for name in ("g++", config) if shutil.which(name) is None]
    missing += [] if header.is_file() else [str(header)]
    toolkit = cuda.toolkit()
    missing += ["nvcc"] if toolkit is None else [obstacle.message for obstacle in toolkit.obstacles()]
    if missing:
        sys.exit("missing: " + "; ".join(missing))
    import scipy.optimize  # SciPy under this NumPy

    scipy.optimize.minimize(lambda x: float(x @ x), np.ones(2), method="L-BFGS-B")
    assert toolkit is not None
    print(f"{toolkit.nvcc} of CUDA {toolkit.release}, NumPy {np.__version__}, SciPy {scipy.__version__}")


def compiler() -> None:
    """A kernel by the real nvcc."""
    from hposvc.machine import cuda
    from hposvc.machine.cuda_compiles import compile_error
    from hposvc.machine.cuda_overlay import laid_out

    toolkit = cuda.toolkit()
    assert toolkit is not None
    if (said := compile_error(laid_out(toolkit))) is not None:
        sys.exit(said)
    print("nvcc compiles and links a kernel with cuBLAS and cuRAND")


def card() -> None:
    """Driver and GPU."""
    from hposvc.machine import cuda, gpus

    toolkit = cuda.toolkit()
    obstacle = cuda.driver_obstacle(toolkit.release if toolkit else None)
    if obstacle is not None:
        sys.exit(f"no card: {obstacle.message}")
    for gpu in gpus.visible():
        print(f"GPU {gpu.index}: {gpu.id}, {gpu.memory / 2**30:.0f} GiB")


def jittor() -> None:
    """Jittor compiled and started, and a product."""
    from hposvc.bilevel import runtime
    from hposvc.bilevel.runtime import jt

    runtime.start("cuda")
    a, b = (np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32) for _ in range(2))
    error = np.abs(jt.matmul(jt.array(a), jt.array(b)).numpy() - a @ b).max()
    print(f"a product differs by {error:.1e}")
    if not error < 1e-3:
        sys.exit("products are wrong")


def same() -> None:
    """Two runs of one seed, and a digest of the bits of each."""
    digests, values = [], []
    for _ in range(2):
        iterate, state = _solver(min(SIZE["rows"], 1000))
        values.append(iterate(30))
        digests.append(hashlib.sha256(state.w[0].numpy().tobytes()).hexdigest()[:12])
    bits = "the same bits" if len({*digests}) == 1 else "other bits"
    print(f"upper loss {values[0][0]:.9g} and {values[1][0]:.9g}: {bits} in w")


def memory() -> None:
    """Memory of the process over 500 iterations."""
    iterate, _ = _solver(min(SIZE["rows"], 1000))
    iterate(50)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    iterate(450)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"450 iterations took {grown:.1f} MiB more")
    if grown > 200:
        sys.exit("memory grows")


def speed() -> None:
    """Milliseconds for an iteration, against PyTorch's finite differences on the same card."""
    iterate, _ = _solver(SIZE["rows"])
    print(f"hposvc: {_milliseconds(iterate):.2f} ms an iteration (finite differences, {SIZE})")
    try:
        import torch
    except ImportError:
        print("PyTorch is not here")
        return
    print(f"PyTorch {torch.__version__}: {_milliseconds(_torch_solver()):.2f} ms an iteration")


def _milliseconds(iterate: Callable[[int], Any]) -> float:
    iterate(20)
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        iterate(50)
        rounds.append((time.perf_counter() - began) / 50)
    return 1000 * float(np.median(rounds))


def _rows(count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((count, SIZE["columns"]), dtype=np.float32),
        rng.integers(0, SIZE["classes"], count),
    )


def _solver(count: int) -> tuple[Callable[[int], tuple[float, float]], Any]:
    from hposvc.bilevel import (
        MLP,
        LowerConfig,
        ReweightingProblem,
        SolveConfig,
        Stop,
        UpperConfig,
        initial_state,
        runtime,
        solve,
    )

    runtime.start("cuda")
    rows, model = _rows(count), MLP((SIZE["hidden"],), "tanh")
    problem = ReweightingProblem(train=rows, upper_rows=rows, model=model, n_classes=SIZE["classes"])
    config = SolveConfig(radius=0.01, lower=LowerConfig(learning_rate=0.05), upper=UpperConfig(learning_rate=0.05))
    state = initial_state(problem, config)

    def iterate(iterations: int) -> tuple[float, float]:
        stop = Stop(iterations=state.iteration + iterations)
        state.stopped_by = None
        *_, last = [i for batch in solve(problem, replace(config, stop=stop), state) for i in batch]
        return last.upper_loss, last.hypergradient_norm

    return iterate, state


def _torch_solver() -> Callable[[int], Any]:
    import torch
    from torch.nn.functional import cross_entropy

    device = torch.device("cuda")
    x, y = (torch.from_numpy(part).to(device) for part in _rows(SIZE["rows"]))
    widths = [SIZE["columns"], SIZE["hidden"], SIZE["classes"]]
    w = []
    for rows, columns in pairwise(widths):
        w += [torch.randn(rows, columns, device=device) / rows**0.5, torch.zeros(columns, device=device)]
    lam = torch.zeros(SIZE["rows"], device=device, requires_grad=True)
    optimizer = torch.optim.Adam([lam], lr=0.05)

    def losses(w: list[Any]) -> Any:
        return cross_entropy(torch.tanh(x @ w[0] + w[1]) @ w[2] + w[3], y, reduction="none")

    def iterate(iterations: int) -> None:
        nonlocal w
        for _ in range(iterations):
            own = [p.detach().requires_grad_() for p in w]
            gradient = torch.autograd.grad((torch.sigmoid(lam.detach()) * losses(own)).mean(), own)
            w = [(p - 0.05 * g).detach().requires_grad_() for p, g in zip(own, gradient, strict=True)]
            v = torch.autograd.grad(losses(w).mean(), w)
            eta = 0.01 / torch.sqrt(sum(part.square().sum() for part in v))
            ahead, behind = ([(p + sign * eta * d).detach() for p, d in zip(own, v, strict=True)] for sign in (1, -1))
            difference = (torch.sigmoid(lam) * (losses(ahead) - losses(behind))).mean()
            lam.grad = -0.05 * torch.autograd.grad(difference, lam)[0] / (2 * eta)
            optimizer.step()
        torch.cuda.synchronize()

    return iterate


def sanitizer() -> None:
    """A short run under compute-sanitizer, where it is installed."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        print("compute-sanitizer is not here")
        return
    command = [program, "--error-exitcode=3", sys.executable, "-m", "benchmarks.gpu.stages", "short"]
    sys.exit(subprocess.run(command, check=False).returncode)


def short() -> None:
    """Two iterations."""
    print(_solver(64)[0](2))


STAGES: dict[str, Callable[[], None]] = {
    stage.__name__: stage for stage in (machine, compiler, card, jittor, same, memory, speed, sanitizer, short)
}

if __name__ == "__main__":
    STAGES[sys.argv[1]]()
