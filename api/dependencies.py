"""What routes ask for: the jobs service, the database, the checked parts of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Header, Request

from api.body import read_document
from api.validation import parse_spec
from hposvc.datasets.service import Datasets
from hposvc.jobs.service import Jobs
from hposvc.jobs.spec import JobSpec


@dataclass(frozen=True)
class Services:
    """What the application holds for all requests."""

    engine: sa.Engine
    jobs: Jobs
    datasets: Datasets


def services(request: Request) -> Services:
    """The services of the application that got the request."""
    held: Services = request.app.state.services
    return held


def _engine(request: Request) -> sa.Engine:
    return services(request).engine


def _jobs(request: Request) -> Jobs:
    return services(request).jobs


def _datasets(request: Request) -> Datasets:
    return services(request).datasets


async def _spec(request: Request) -> JobSpec:
    return parse_spec(await read_document(request))


Engine = Annotated[sa.Engine, Depends(_engine)]
JobsService = Annotated[Jobs, Depends(_jobs)]
DatasetsService = Annotated[Datasets, Depends(_datasets)]
Spec = Annotated[JobSpec, Depends(_spec)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="One key, one job: a request that is repeated with its key answers with the job that it made.",
    ),
]
IfNoneMatch = Annotated[str | None, Header(description="The ETag of an earlier answer: 304 when nothing changed.")]
