"""Problems that are installed on the workers, as the service returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hposvc.schema.resource import Resource


class ProblemResource(Resource):
    """A problem that jobs of `kind: custom` can name, in one version."""

    name: str
    """What a job says in `problem`: the package and the name of the problem in it."""
    version: str
    """The version of the package."""
    summary: str
    """What it tunes, in the words of its author."""
    parameters: dict[str, Any]
    """The JSON Schema of a job's `parameters`."""
    defaults: dict[str, Any]
    """Parts of a spec that suit the problem. They hold where a job says nothing else."""
    fault: str | None
    """Why it cannot be used. null: it can."""
    workers: int
    """How many live workers have it in this version. 0: jobs wait until one has."""
    reported_at: datetime
    """When a worker last said so at its start."""
