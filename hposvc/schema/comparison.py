"""Several jobs side by side."""

from __future__ import annotations

from typing import Any, Literal

from hposvc.schema.job import Best, JobError, Progress
from hposvc.schema.numbers import Number
from hposvc.schema.resource import Resource
from hposvc.schema.spec import Kind
from hposvc.schema.states import State


class Difference(Resource):
    """A field of the spec in which compared jobs differ."""

    field: str
    """Path of the field, such as `solver.upper.learning_rate`."""
    values: list[Any]
    """Its value in each job, in the order of `jobs`; null also where the field is absent."""


class ComparedJob(Resource):
    """One of several jobs that are compared: where it stands, its result in short, and one metric as columns."""

    id: str
    """Id of the job."""
    name: str | None
    """The name of the job. null: none."""
    kind: Kind
    """What the job tunes."""
    state: State
    """Where the job is in its life."""
    progress: Progress
    """How many of its iterations are done."""
    best: Best
    """The lowest upper loss so far."""
    total: int
    """How many iterations the job has recorded, inside and outside the range that was asked for."""
    downsampled: bool
    """Whether each point stands for several iterations."""
    iteration: list[int]
    """The iteration of each point, ascending."""
    seconds: list[Number | None]
    """Seconds of the solver from its start to each point, without loading and pauses."""
    value: list[Number | None]
    """The metric at each point; null where it was not measured."""
    min: list[Number | None]
    """The lowest finite value of the metric among the iterations that the point stands for; null where there is none.
    """
    max: list[Number | None]
    """The highest finite value of the metric among the iterations that the point stands for; null where there is none.
    """
    result: dict[str, Any] | None
    """The figures of the result that can be compared: sentence, tuned candidate, best rival and others. null: there is
    no result yet.
    """
    error: JobError | None
    """Why the job failed. null: it did not."""


class Comparison(Resource):
    """Several jobs side by side, in the order asked for."""

    metric: str
    """The metric in `value`, `min` and `max`."""
    by: Literal["iteration", "seconds"]
    """What the jobs are to be aligned by: iterations, or seconds of the solver."""
    jobs: list[ComparedJob]
    """The jobs, in the order asked for."""
    differences: list[Difference]
    """The fields in which the specs differ, names aside."""
