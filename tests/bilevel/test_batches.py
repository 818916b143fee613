"""The automatic lower rate is stable on batches, whose losses curve differently."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hposvc.bilevel import Stop, initial_state, solve
from tests.support.bundled import LINEAR, ROWS, STRENGTHS, bundled

NETWORK = {"type": "mlp", "hidden": [32]}
SPIKE = 2.0
FIRST = 50


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
    problem, config = bundled(job, dataset, model, lower={"batch_size": batch_size}, certify_every=0)
    config = replace(config, stop=Stop(iterations=400))
    batches = solve(problem, config, initial_state(problem, config))
    losses = np.array([iteration.upper_loss for batch in batches for iteration in batch])
    best_so_far = np.minimum.accumulate(losses)
    assert (losses[FIRST:] / best_so_far[FIRST:]).max() < SPIKE
