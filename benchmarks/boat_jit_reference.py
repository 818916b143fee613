"""Make ``tests/bilevel/fixtures/boat_jit.npz``: hypergradients of the seed, boat-jit 1.1.1, on three small problems.

Run in an environment of its own, never in the project's:
``pip install boat-jit==1.1.1 jittor==1.3.11.0 'numpy<2'`` and then ``python benchmarks/boat_jit_reference.py OUT.npz``.
One lower step, radius 0.01. The file holds every array that went in and the hypergradient that came out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "solver"))
import itertools

from boat_jit_contender import build

LEARNING_RATE = 0.1
RADIUS = 0.01
PROBLEMS = {
    "ridge": ("squared_error", (8, 1)),
    "logistic_regression": ("cross_entropy", (8, 3)),
    "mlp": ("cross_entropy", (8, 16, 3)),
}


def arrays(widths: tuple[int, ...], loss: str, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    made: dict[str, np.ndarray] = {}
    for part, rows in (("", 40), ("v", 24)):
        made[f"X{part}"] = random.standard_normal((rows, widths[0]), dtype=np.float32)
        if loss == "squared_error":
            made[f"y{part}"] = random.standard_normal((rows, 1), dtype=np.float32)
        else:
            made[f"y{part}"] = random.integers(0, widths[-1], rows)
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        made[f"W{layer}"] = random.standard_normal((fan_in, fan_out), dtype=np.float32) / np.float32(fan_in**0.5)
        made[f"b{layer}"] = 0.1 * random.standard_normal(fan_out, dtype=np.float32)
    made["lam"] = 0.5 * random.standard_normal(40, dtype=np.float32)
    return made


def main() -> None:
    out: dict[str, np.ndarray] = {"learning_rate": np.float32(LEARNING_RATE), "radius": np.float32(RADIUS)}
    for seed, (name, (loss, widths)) in enumerate(PROBLEMS.items()):
        made = arrays(widths, loss, seed)
        problem, feeds, _ = build(made, lower_learning_rate=LEARNING_RATE, upper_learning_rate=0.0, radius=RADIUS,
                                  loss=loss, return_grad=True)  # fmt: skip
        (hypergradient,), _ = problem.run_iter(*feeds, 0)
        out |= {f"{name}/{key}": value for key, value in made.items()}
        out[f"{name}/hypergradient"] = hypergradient.numpy()
    np.savez_compressed(sys.argv[1], **out)
    print({key: value.shape for key, value in out.items() if key.endswith("hypergradient")})


if __name__ == "__main__":
    main()
