"""A job as the service returns it: where it stands, its history, its files; and what can be changed of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from hposvc.schema.numbers import Number
from hposvc.schema.resource import Resource
from hposvc.schema.spec import JobName, JobSpec, Kind, Priority, Tags
from hposvc.schema.states import State


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
    warnings: list[str] = Field([])


class JobUpdate(Resource):
    """What can be changed of a job after it was submitted; a field that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: JobName | None = None
    tags: Tags = Field([])
    priority: Priority = 0


class JobPage(Resource):
    """One page of a list of jobs, in the order asked for; ``next_page`` is the token of the next, null on the last."""

    items: list[JobResource]
    next_page: str | None


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
