"""Against the seed: the hypergradients that boat-jit 1.1.1 gave for the same arrays, one lower step, radius 0.01.

``benchmarks/boat_jit_reference.py`` made the file, in an environment of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from hposvc.bilevel import MLP, Linear, LowerConfig, ReweightingProblem, SolveConfig, hypergradient, initial_state
from hposvc.bilevel.arrays import device_array
from tests.support.references import Measured

FIXTURE = Path(__file__).parent / "fixtures" / "boat_jit.npz"
MODELS = {"ridge": Linear(), "logistic_regression": Linear(), "mlp": MLP((16,))}


@pytest.mark.parametrize("oracle", ["finite_difference", "exact"])
@pytest.mark.parametrize("name", MODELS)
def test_the_hypergradient_is_that_of_the_seed(
    name: str, oracle: Literal["finite_difference", "exact"], measured: Measured
) -> None:
    with np.load(FIXTURE) as file:
        radius, rate = float(file["radius"]), float(file["learning_rate"])
        given = {key.removeprefix(f"{name}/"): file[key] for key in file.files if key.startswith(f"{name}/")}
    regression = name == "ridge"
    problem = ReweightingProblem(
        train=(given["X"], given["y"].ravel()),
        upper_rows=(given["Xv"], given["yv"].ravel()),
        model=MODELS[name],
        n_classes=None if regression else 3,
    )
    config = SolveConfig(oracle=oracle, radius=radius, lower=LowerConfig(learning_rate=rate))
    state = initial_state(problem, config)
    layers = sum(key.startswith("W") for key in given)
    state.w = [device_array(given[f"{part}{layer}"], "float32") for layer in range(layers) for part in "Wb"]
    state.lam = [device_array(given["lam"], "float32")]

    ours, theirs = (
        a.astype(np.float64) for a in (hypergradient(problem, config, state)[0].numpy(), given["hypergradient"])
    )
    cosine = ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs))
    measured(f"the seed, boat-jit 1.1.1: 1 − cosine, {oracle}", name.replace("_", " "), 1 - cosine, 1e-4)
    assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(theirs), rel=1e-3)
