"""Several jobs side by side."""

from __future__ import annotations

from typing import Any, Literal

from hposvc.schema.job import Best, JobError, Progress
from hposvc.schema.numbers import Number
from hposvc.schema.resource import Resource
from hposvc.schema.spec import Kind
from hposvc.schema.states import State


class Difference(Resource):
    """A field of the specification in which compared jobs differ, with the value of each; null where it is absent."""

    field: str
    values: list[Any]


class ComparedJob(Resource):
    """One of several jobs that are compared: where it stands, what came of it, and one metric of it.

    ``iteration``, ``seconds`` (the solver's own, from its start) and ``value`` are columns of equal length, as are
    ``min`` and ``max`` of what lies between one point and the next. ``result`` is null until there is one.
    """

    id: str
    name: str | None
    kind: Kind
    state: State
    progress: Progress
    best: Best
    total: int
    downsampled: bool
    iteration: list[int]
    seconds: list[Number | None]
    value: list[Number | None]
    min: list[Number | None]
    max: list[Number | None]
    result: dict[str, Any] | None
    error: JobError | None


class Comparison(Resource):
    """Several jobs side by side, in the order asked for."""

    metric: str
    by: Literal["iteration", "seconds"]
    jobs: list[ComparedJob]
    differences: list[Difference]
