"""The automatic lower rate is stable on batches, whose losses curve differently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hposvc import training_data
from hposvc.bilevel import initial_state, solve
from hposvc.run import translation
from hposvc.schema.spec import JobSpec

LINEAR, NETWORK = {"type": "linear"}, {"type": "mlp", "hidden": [32]}
ROWS = {"kind": "data_reweighting", "hyperparameters": {"per": "row"}}
STRENGTHS = {"kind": "regularization_tuning"}
SPIKE = 2.0
FIRST = 50


def upper_losses(job: dict[str, Any], dataset: str, model: dict[str, Any], batch_size: int, iterations: int) -> Any:
    """The upper loss of each iteration, with everything else automatic. Raises Diverged."""
    spec = JobSpec.model_validate(
        job
        | {
            "dataset": {"id": f"sklearn:{dataset}"},
            "model": model,
            "solver": {"lower": {"batch_size": batch_size}, "certify_every": 0},
            "stop": {"iterations": iterations},
        }
    )
    prepared = training_data.prepare(training_data.load(spec.dataset, (), None), spec)
    start = 0.0 if spec.kind == "data_reweighting" else -4.0
    problem, config = translation.problem(spec, prepared.dataset, prepared.splits, start), translation.config(spec)
    batches = solve(problem, config, initial_state(problem, config))
    return np.array([iteration.upper_loss for batch in batches for iteration in batch])


@pytest.mark.parametrize(
    ("job", "dataset", "model", "batch_size"),
    [
        (ROWS, "breast_cancer", LINEAR, 8),
        (ROWS, "breast_cancer", NETWORK, 32),
        (ROWS, "digits", LINEAR, 8),
        (ROWS, "diabetes", LINEAR, 8),
        (STRENGTHS, "breast_cancer", LINEAR, 32),
        (STRENGTHS, "breast_cancer", NETWORK, 8),
        (STRENGTHS, "digits", NETWORK, 8),
        (STRENGTHS, "diabetes", LINEAR, 8),
    ],
)
def test_no_run_on_batches_diverges_or_spikes(
    job: dict[str, Any], dataset: str, model: dict[str, Any], batch_size: int
) -> None:
    losses = upper_losses(job, dataset, model, batch_size, iterations=400)
    best_so_far = np.minimum.accumulate(losses)
    assert (losses[FIRST:] / best_so_far[FIRST:]).max() < SPIKE
