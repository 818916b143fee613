"""Where a trial of a pruned search waits until it was judged, so that a poor one does no iterations beyond that.

The worker asks; what carries experiments on (``hposvc.experiments.advance``) judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from hposvc.db.engine import read
from hposvc.db.tables import experiment_trials, experiments, jobs
from hposvc.experiments.curves import FIRST_LOOK, end_of, reached
from hposvc.schema.experiment_spec import ExperimentSpec, SearchPlan

SLICES = {"none": (), "successive_halving": (FIRST_LOOK,), "hyperband": (1, 3, 9), "median": (4, 9, 18)}
"""How many slices of the iterations are complete where each pruner judges; the median is looked at in between, too."""

Verdict = Literal["waits", "goes_on", "stops"]


@dataclass(frozen=True)
class Looks:
    """The looks at one trial: ``iterations`` has where it waits, of ``total``."""

    engine: sa.Engine
    experiment_id: str
    number: int
    total: int
    iterations: tuple[int, ...]

    def verdict(self, iteration: int) -> Verdict:
        """What became of the trial that has recorded everything up to ``iteration``."""
        table = experiment_trials
        query = sa.select(table.c.curve, table.c.pruned).where(
            table.c.experiment_id == self.experiment_id, table.c.number == self.number
        )
        with read(self.engine) as connection:
            row = connection.execute(query).first()
        if row is None:  # the experiment was deleted
            return "goes_on"
        if row.pruned:
            return "stops"
        return "goes_on" if len(row.curve or []) >= reached(iteration, self.total) else "waits"


def looks_at(engine: sa.Engine, job_id: str) -> Looks | None:
    """The looks at the trial whose job this is; None if it is nobody's, or its search stops no trial early."""
    table = experiment_trials
    query = (
        sa.select(table.c.experiment_id, table.c.number, jobs.c.iterations, experiments.c.spec)
        .select_from(jobs.join(table, table.c.experiment_id == jobs.c.experiment_id).join(experiments))
        .where(jobs.c.id == job_id, table.c.job_id == job_id)
    )
    with read(engine) as connection:
        row = connection.execute(query).first()
    if row is None:
        return None
    plan = ExperimentSpec.model_validate(row.spec).plan
    slices = SLICES[plan.pruner] if isinstance(plan, SearchPlan) else ()
    if not slices:
        return None
    ends = sorted({end_of(number, row.iterations) for number in slices})
    return Looks(engine, row.experiment_id, row.number, row.iterations, tuple(ends))
