"""Workers as the service returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from hposvc.schema.resource import Resource


class WorkerResource(Resource):
    """A worker and what it does."""

    id: str
    """The id of the worker, new at each start."""
    host: str
    """The name of its machine."""
    device: str
    """What its jobs are computed on unless they ask otherwise: `cpu` or `cuda`."""
    state: Literal["compiling", "ready", "busy", "draining"]
    """`compiling`: prepares Jittor. `ready`: waits for a job. `busy`: has one. `draining`: takes no new job, and ends.
    """
    job_id: str | None
    """The job that it has, if that is one of the tenant. null: none."""
    progress_message: str | None
    """While it prepares Jittor, how far that is. null: nothing to say."""
    versions: dict[str, str]
    """Versions of what computes, by name."""
    heartbeat_at: datetime
    """When it was last heard of. It reports every five seconds; after 30 seconds of silence it is probably gone."""
    offers: list[str] = Field([])
    """The needs of jobs that it can meet, such as `any`, `cpu` or `cuda-large`."""
    asked: Literal["drain", "leave"] | None = None
    """What a person asked of it. `drain`: finish the job and end. `leave`: give the job back to the queue and end.
    null: nothing.
    """
