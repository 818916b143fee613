"""A job as the service returns it: where it stands, its history, its files; and what can be changed of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from hposvc.schema.notebook import job_html
from hposvc.schema.numbers import Number
from hposvc.schema.resource import Resource
from hposvc.schema.result import StoredResult
from hposvc.schema.spec import JobName, JobSpec, Kind, Priority, Tags
from hposvc.schema.states import State


class Progress(Resource):
    """How far a job is."""

    iteration: int
    """The last iteration that is recorded. 0: none yet."""
    iterations: int
    """The most iterations that the job does: `stop.iterations`. Another rule may end it earlier."""


class Latest(Resource):
    """What the newest iteration recorded."""

    upper_loss: Number | None
    """The upper loss of the newest iteration. null: before the first one."""
    hypergradient_norm: Number | None
    """The norm of the hypergradient in the newest iteration. null: before the first one."""


class Best(Resource):
    """The lowest upper loss so far, and where it was."""

    upper_loss: Number | None
    """The lowest finite upper loss. null: there is none yet."""
    iteration: int | None
    """The iteration of that loss. null: there is none yet. The result may take another one: the one of the lowest
    selection loss.
    """


class Sparkline(Resource):
    """A few points of the upper loss, from the first iteration on."""

    iteration: list[int]
    """The iterations of the points, ascending; about 32 of them."""
    upper_loss: list[Number]
    """The upper loss at each point."""


class Gain(Resource):
    """What the tuned model gained over the best rival, on the test rows."""

    value: float
    """Above 0 for an improvement. 0: nothing was gained."""
    of: Literal["score", "loss"]
    """What is compared. `score`: the difference of the accuracies, 0.01 for a point. `loss`: the share of the
    rival's test loss that was saved.
    """


class JobError(Resource):
    """Why a job failed."""

    reason: str
    """A word to branch on, such as `diverged`, `out_of_memory`, `invalid_data`, `timed_out` or `worker_lost`."""
    message: str
    """What happened, for people."""
    remedy: str
    """What to do about it."""
    iteration: int | None = None
    """The last iteration before the error, as far as known. null: before the first one."""


class JobLinks(Resource):
    """Where the job and what belongs to it are found, as paths of this service."""

    self: str
    """Path of the job."""
    iterations: str
    """Path of what its iterations recorded."""
    events: str
    """Path of its history."""
    dashboard: str
    """Path of its page on the dashboard."""


class JobResource(Resource):
    """A job as it stands now."""

    id: str
    """`job_` and 20 hexadecimal digits."""
    kind: Kind
    """What the job tunes."""
    name: str | None
    """A name for people. null: none."""
    tags: list[str]
    """Short texts to find the job again by."""
    dataset_name: str | None = None
    """The name of the uploaded data set. null: it comes along or is deleted, or the job has none."""
    state: State
    """Where the job is in its life. `succeeded`, `failed` and `cancelled` are ends."""
    attempt: int
    """Number of the current or last attempt, from 1. A new attempt begins after a lost worker, a pause and a retry."""
    version: int
    """Grows with every change of the job; it is the ETag."""
    finish_early: bool = False
    """Whether somebody asked for the result of the iterations that are done. A retry forgets it."""
    experiment: str | None = None
    """The experiment that the job is a trial of. null: none."""
    phase: str | None
    """What the worker does: `loading`, `solving` or `refitting`. null: no worker has the job."""
    worker: str | None
    """Id of the worker that has the job. null: none."""
    progress: Progress
    """How many of its iterations are done."""
    latest: Latest
    """The newest iteration."""
    best: Best
    """The lowest upper loss so far."""
    sparkline: Sparkline
    """A few points of the upper loss, for a small chart."""
    result: StoredResult | None
    """What was found: candidates, a sentence, warnings and more. null: there is none yet, and always in lists."""
    gain: Gain | None = None
    """What the tuned model gained. null: it is not known (yet), or nothing is compared."""
    error: JobError | None
    """Why the job failed. null: it did not."""
    created_at: datetime
    """When the job was submitted."""
    started_at: datetime | None
    """When its first attempt began to compute; a retry from the start counts anew. null: not yet."""
    finished_at: datetime | None
    """When the job succeeded, failed or was cancelled. null: not yet."""
    spec: JobSpec
    """The spec, with every default filled in."""
    problem_version: str | None = None
    """The version of the package of an own problem with which the job began. null: not begun, or a built-in kind."""
    links: JobLinks
    """Where the job and what belongs to it are found."""
    notice: str | None = None
    """Only in the response to a submission: why the job will have to wait, and which of its settings are doubtful.
    null: neither.
    """

    def _repr_html_(self) -> str:
        """What a notebook shows of the job."""
        return job_html(self)


class Checked(Resource):
    """The response to a dry run: the spec is valid."""

    valid: Literal[True] = True
    """Always true: a spec that is not valid gets a problem document."""
    spec: JobSpec
    """The spec, with every default filled in."""
    warnings: list[str] = Field([])
    """What is doubtful about the data and the settings, which can run all the same; a sentence each."""


class JobUpdate(Resource):
    """What can be changed of a job after it was submitted; a field that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: JobName | None = None
    """The new name. null takes the name away."""
    tags: Tags = Field([])
    """The new tags, in place of all that the job has."""
    priority: Priority = 0
    """The new priority. Among queued jobs of a tenant, those of higher priority start first."""


class JobPage(Resource):
    """One page of a list of jobs, in the order asked for."""

    items: list[JobResource]
    """The jobs of this page, without their results."""
    next_page: str | None
    """What to send as `page` to get the next page. null: this is the last one."""
    total: int
    """How many jobs pass the filters, on all pages together, counted up to 10,000."""


class EventResource(Resource):
    """One entry in the history of a job."""

    seq: int
    """Number of the event within the job, from 1, without gaps."""
    at: datetime
    """When it happened."""
    attempt: int
    """The attempt that it belongs to."""
    type: str
    """`state`: the state changed. `note`: something worth reading. `lost`: a worker or its process was lost."""
    data: dict[str, Any]
    """More about it, by type: the new `state`; `level` and `message`; `reason`, `message`, `remedy` and `losses`."""


class EventPage(Resource):
    """Events of a job."""

    items: list[EventResource]
    """The events, in order."""
    next_after: int
    """What to send as `after` to get only newer events."""


class ArtifactResource(Resource):
    """A file that a job left."""

    name: str
    """The name of the file."""
    kind: str
    """What it is, such as `report`, `hyperparameters`, `rows`, `model` or `checkpoint`."""
    size: int
    """Bytes."""
    sha256: str
    """SHA-256 of the content, in hexadecimal."""
    url: str
    """Path to download it from."""
    iteration: int | None
    """The iteration of a checkpoint. null: it is not a checkpoint."""
    created_at: datetime
    """When it was stored."""
