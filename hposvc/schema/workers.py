"""Workers as the service returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from hposvc.schema.resource import Resource


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
    offers: list[str] = Field([])
    asked: Literal["drain", "leave"] | None = None
