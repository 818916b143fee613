"""What the service answers: one pydantic model per resource, shared by the API, the command line and the client.

JSON has no NaN and no infinities, so they travel as the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from hposvc.jobs.spec import JobName, JobSpec, Kind, Priority, Tags
from hposvc.jobs.states import State

NonFinite = Literal["NaN", "Infinity", "-Infinity"]


def to_json_number(value: float) -> float | NonFinite:
    """``value`` itself when it is finite, otherwise its name."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def to_json(value: Any) -> Any:
    """``value`` (of dicts, lists, strings, numbers) with every non-finite number replaced by its name."""
    if isinstance(value, float):
        return to_json_number(value)
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


# A double that may be non-finite; pydantic reads the three names back into numbers by itself.
Number = Annotated[
    float,
    PlainSerializer(to_json_number, return_type=float | NonFinite, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}),
]


class Resource(BaseModel):
    """Base of everything that the service answers."""

    model_config = ConfigDict(frozen=True)


class Progress(Resource):
    """How far a job is: the last iteration in the database, and the number that was asked for."""

    iteration: int
    iterations: int


class Latest(Resource):
    """The losses of the newest iteration; null before the first one."""

    upper_loss: Number | None
    hypergradient_norm: Number | None


class Best(Resource):
    """The lowest finite upper loss so far, and where it was; null before the first one."""

    upper_loss: Number | None
    iteration: int | None


class Sparkline(Resource):
    """A few points of the upper loss, from the first iteration on."""

    iteration: list[int]
    upper_loss: list[Number]


class JobError(Resource):
    """Why a job failed: a reason to branch on, a message to read, and what to do about it."""

    reason: str
    message: str
    remedy: str
    iteration: int | None = None


class JobLinks(Resource):
    """Where the job and what belongs to it are found, as paths of this service."""

    self: str
    iterations: str
    events: str
    dashboard: str


class JobResource(Resource):
    """A job as it stands now. ``version`` grows with every change of the row, so it serves as an entity tag.

    ``notice`` is for the answer to a submission: why the job will have to wait, and which of its settings are
    doubtful, where that can be seen at once.
    """

    id: str
    kind: Kind
    name: str | None
    tags: list[str]
    state: State
    attempt: int
    version: int
    phase: str | None
    worker: str | None
    progress: Progress
    latest: Latest
    best: Best
    sparkline: Sparkline
    result: dict[str, Any] | None
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    spec: JobSpec
    links: JobLinks
    notice: str | None = None


class Checked(Resource):
    """The answer to a dry run: the specification is valid; this is how it looks with every default filled in.

    ``warnings`` name settings that can run and are doubtful all the same.
    """

    valid: Literal[True] = True
    spec: JobSpec
    warnings: list[str] = []


class JobUpdate(Resource):
    """What can be changed of a job after it was submitted; a field that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: JobName | None = None
    tags: Tags = []
    priority: Priority = 0


class JobPage(Resource):
    """One page of a list of jobs, in the order asked for; ``next_page`` is the token of the next, null on the last."""

    items: list[JobResource]
    next_page: str | None


class Bucket(Resource):
    """One metric over many buckets of iterations. ``min`` and ``max`` are over finite values, ``nonfinite`` counts the
    others.
    """

    first: list[Number | None]
    min: list[float | None]
    max: list[float | None]
    nonfinite: list[int]


class Buckets(Resource):
    """What lies in each bucket: its ``first_iteration``, the ``count`` of them, and what the metrics did there."""

    first_iteration: list[int]
    count: list[int]
    upper_loss: Bucket
    hypergradient_norm: Bucket
    lower_loss: Bucket
    selection_loss: Bucket
    fd_relative_error: Bucket


class IterationColumns(Resource):
    """Iterations of a job by column, ascending. ``next_after`` is what to pass as ``after`` to get only newer ones.

    ``downsampled`` columns hold the last iteration of each of the ``buckets``.
    """

    iteration: list[int]
    upper_loss: list[Number]
    hypergradient_norm: list[Number]
    lower_loss: list[Number | None]
    upper_score: list[Number | None]
    selection_loss: list[Number | None]
    fd_relative_error: list[Number | None]
    seconds: list[Number | None]
    total: int
    next_after: int
    downsampled: bool = False
    buckets: Buckets | None = None


class EventResource(Resource):
    """One line of a job's history. ``seq`` counts from 1 within the job and leaves nothing out."""

    seq: int
    at: datetime
    attempt: int
    type: str
    data: dict[str, Any]


class EventPage(Resource):
    """Events of a job in order; ``next_after`` is what to pass as ``after`` to get only newer ones."""

    items: list[EventResource]
    next_after: int


class ArtifactResource(Resource):
    """A file that a job left: ``size`` in bytes, ``sha256`` in hexadecimal, ``url`` in the artifact store."""

    name: str
    kind: str
    size: int
    sha256: str
    url: str
    iteration: int | None
    created_at: datetime


class WorkerResource(Resource):
    """A worker and what it does; one whose heartbeat is old is gone. ``offers`` names the needs of jobs that it can
    meet; ``asked`` what a person asked of it.
    """

    id: str
    host: str
    device: str
    state: Literal["compiling", "ready", "busy", "draining"]
    job_id: str | None
    progress_message: str | None
    versions: dict[str, str]
    heartbeat_at: datetime
    offers: list[str] = []
    asked: Literal["drain", "leave"] | None = None


class Histogram(Resource):
    """How many values lie between neighbouring ``edges``; there is one edge more than counts."""

    edges: list[Number]
    counts: list[int]


class Quantiles(Resource):
    """λ at ``probabilities``, and the weight or strength ``value`` that each means."""

    probabilities: list[float]
    lam: list[Number]
    value: list[Number]


class HyperparameterGroup(Resource):
    """Entries of λ that belong together, like all rows, or the features under one penalty."""

    name: str
    size: int
    quantiles: Quantiles
    histogram: Histogram


class Hyperparameter(Resource):
    """One entry of λ: the weight of a row, class or group of rows, or a strength; ``value`` is what ``lam`` means.

    ``name`` is the id of a row, the name of a class or group, or what is held back. ``label`` is that of a row,
    ``rows`` how many there are of a class or group, ``penalty`` the one that a strength belongs to.
    """

    name: str
    lam: Number
    value: Number
    label: str | None = None
    rows: int | None = None
    penalty: str | None = None


class Hyperparameters(Resource):
    """λ of a job: of its answer once there is one (``final``), before that at its newest snapshot or checkpoint.

    ``value`` is a weight σ(λ) where ``scale`` is logistic, and a strength e^λ where it is log. ``iteration`` is null
    and everything empty before the first snapshot. ``next_page`` leads on, at the same iteration; null on the last
    page. Where ``complete`` is false the pages end with the extremes: the snapshot has no more of so many values, and
    ``whole=true`` asks for all of them, at the newest checkpoint.
    """

    iteration: int | None
    final: bool
    scale: Literal["logistic", "log"]
    size: int
    groups: list[HyperparameterGroup]
    items: list[Hyperparameter]
    complete: bool
    next_page: str | None


class HistoryGroup(Resource):
    """The quantiles of one group of λ: a list over the iterations for each probability."""

    name: str
    size: int
    lam: list[list[Number]]
    value: list[list[Number]]


class HyperparameterHistory(Resource):
    """λ over time, by column. ``values`` holds every entry on its own where there are at most 32, named by ``names``.

    ``next_after`` is what to pass as ``after`` to get only newer snapshots.
    """

    iteration: list[int]
    scale: Literal["logistic", "log"]
    probabilities: list[float]
    groups: list[HistoryGroup]
    names: list[str] | None
    values: list[list[Number]] | None
    next_after: int


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
