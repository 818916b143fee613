"""The lower objective of each step: its rows, the units that dropout keeps, and the upper loss that is mixed in.

Whatever is random is a function of the seed and of the number of the step, counted over the whole run, so that a run
goes on bit for bit from a saved state.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hposvc.bilevel.arrays import Var, constant
from hposvc.bilevel.config import SolveConfig
from hposvc.bilevel.hypergradient import Objective, aggregated
from hposvc.bilevel.problem import BilevelProblem


def lower_objective(
    problem: BilevelProblem, rows: NDArray[np.int64] | None, key: tuple[int, ...] | None = None
) -> Objective:
    """The lower loss on ``rows``, or on all of them; ``key`` draws the units that dropout keeps."""
    return _on_batch(problem, problem.lower_batch(rows, key))


def _on_batch(problem: BilevelProblem, batch: Any) -> Objective:
    return Objective(
        lift=lambda w: problem.lift(w, batch), loss=lambda u, lam: problem.lower_loss(u, lam, batch), move=problem.moved
    )


def step_objective(problem: BilevelProblem, config: SolveConfig, lower_steps: int, k: int, like: Var) -> Objective:
    """What lower step k = 0, 1, … of an iteration descends, ``lower_steps`` having been taken before the iteration.

    ``like`` has the precision of the run.
    """
    step = lower_steps + k
    rows = batch_rows(problem.lower_rows, config.lower.batch_size, config.seed, step)
    batch = problem.lower_batch(rows, (config.seed, step, 2))
    objective = _on_batch(problem, batch)
    if config.aggregation is None:
        return objective
    alpha = constant(config.aggregation.alpha_init * config.aggregation.alpha_decay**k, like)
    own = problem.aggregated_loss
    if own is not None:
        return Objective(lift=list, loss=lambda w, lam: own(w, lam, batch, alpha))
    upper = Objective(lift=list, loss=lambda w, lam: problem.upper(w, lam).loss)
    return aggregated(objective, upper, alpha)


def batch_rows(rows: int, batch_size: int | None, seed: int, step: int) -> NDArray[np.int64] | None:
    """The rows of a lower step: each epoch is a fresh permutation cut into whole batches, less the remainder.

    None means all rows, in order.
    """
    if batch_size is None or batch_size >= rows:
        return None
    epoch, position = divmod(step, rows // batch_size)
    return _order(rows, seed, epoch)[position * batch_size : (position + 1) * batch_size]


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The permutation of an epoch, kept for all its steps: making it takes longer than a step on a small batch."""
    order = np.random.default_rng([seed, epoch, 1]).permutation(rows)
    order.flags.writeable = False
    return order
